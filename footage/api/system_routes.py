"""The library at a glance, its models and failures, and signs of life."""

from __future__ import annotations

from fastapi import APIRouter, Response
from starlette.responses import JSONResponse

from footage.api.docs import errors
from footage.api.faults import scrub
from footage.api.models import (
    DoctorOut,
    FailureOut,
    FailuresOut,
    FindingOut,
    HealthOut,
    LibraryOut,
    ModelOut,
    ModelsOut,
)
from footage.api.service import ServiceDep
from footage.doctor import environment
from footage.encoders import ROWS
from footage.errors import FootageError

router = APIRouter(tags=["library"])
outside = APIRouter(tags=["service"])


@router.get("/library", responses=errors(429, 503))
async def library(service: ServiceDep) -> LibraryOut:
    """The library at a glance; also when there is none yet."""

    def work() -> LibraryOut:
        lib = service.library
        stamp = lib.stamp if lib.exists() else None
        videos = lib.videos() if stamp is not None else []
        return LibraryOut(
            name=lib.path.name,
            model=stamp.model if stamp is not None else None,
            why=stamp.why if stamp is not None else "",
            videos=len(videos),
            seconds=round(sum(v.duration for v in videos), 3),
            samples=sum(v.samples for v in videos),
            created=stamp.created if stamp is not None else None,
            indexing=service.jobs.open > 0,
            can_index=bool(service.options.allow_dirs or service.options.allow_urls),
        )

    return await service.reads.run(work)


@router.get("/models", responses=errors())
async def models(service: ServiceDep) -> ModelsOut:
    """The models that a library can be made with."""
    stamp = service.library.stamp
    rows = [
        ModelOut(
            name=row.name,
            summary=row.summary,
            answers=sorted({role for space in row.spaces for role in space.answers}),
            languages=list(row.languages),
            licence=row.licence,
            size_mb=row.size_mb,
            install=row.install,
            current=stamp is not None and stamp.model == row.name,
        )
        for row in ROWS.values()
    ]
    return ModelsOut(models=rows)


@router.get("/failures", responses=errors(429, 503))
async def failures(service: ServiceDep) -> FailuresOut:
    """The files that failed when they were last looked at, with the reason."""

    def work() -> FailuresOut:
        rows = [
            FailureOut(
                name=f["path"].rsplit("/", 1)[-1],
                path=service.shown(f["path"]),
                error=scrub(f["error"], f["path"]),
                hint=scrub(f.get("hint", ""), f["path"]),
            )
            for f in service.library.failures()
        ]
        return FailuresOut(failures=rows)

    return await service.reads.run(work)


@router.get("/doctor", responses=errors(404, 409, 429, 503))
async def doctor(service: ServiceDep) -> DoctorOut:
    """What is installed, and whether the library is whole; changes nothing."""

    def work() -> DoctorOut:
        found = service.library.doctor() if service.library.exists() else []
        rows = [
            FindingOut(
                problem=f.problem,
                what=scrub(f.what),
                message=scrub(f.message),
                mended=f.mended,
                harmless=f.harmless,
            )
            for f in found
        ]
        return DoctorOut(environment=environment(), findings=rows, whole=all(f.harmless for f in found))

    return await service.reads.run(work)


@outside.get("/healthz", responses=errors())
async def healthz() -> HealthOut:
    """The process is there."""
    return HealthOut(status="ok")


@outside.get("/readyz", responses={503: {"model": HealthOut, "description": "Not now"}} | errors())
async def readyz(service: ServiceDep) -> Response:
    """The library can be searched, or there is none yet."""
    status = "ok" if service.ready else "starting"
    if service.ready and service.library.stamp is not None:
        try:
            await service.reads.run(service.library.videos)
        except FootageError:
            status = "unavailable"
    return JSONResponse(HealthOut(status=status).model_dump(), 200 if status == "ok" else 503)


@outside.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Figures", "content": {"text/plain": {"schema": {"type": "string"}}}}}
    | errors(429, 503),
)
async def metrics(service: ServiceDep) -> Response:
    """Figures for Prometheus."""
    text = await service.reads.run(service.metrics.text)
    return Response(text, media_type="text/plain; version=0.0.4")
