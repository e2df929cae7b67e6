"""Changing the model of the library, as a job."""

from __future__ import annotations

from fastapi import APIRouter

from footage.api.docs import errors
from footage.api.job_routes import job_out
from footage.api.jobs import Job
from footage.api.models import JobOut, UseIn
from footage.api.service import ServiceDep
from footage.encoders import ROWS, lookup
from footage.errors import NotIndexed, UnknownEncoder

router = APIRouter(tags=["index"])


@router.post("/models/use", status_code=202, responses=errors(400, 404, 422, 429, 503))
async def use(request: UseIn, service: ServiceDep) -> JobOut:
    """Let another model answer; searches go on with the present one until the vectors of the new one are complete."""

    def work() -> Job:
        stamp = service.library.stamp
        if stamp is None:
            raise NotIndexed("there is no library yet", hint="index a folder first")
        # Not every name that the command line takes: that of a folder would let a caller have the server read it.
        if stamp.member(request.model) is None and request.model not in ROWS:
            raise UnknownEncoder(f"unknown model: {request.model}", hint="GET /api/v1/models lists them")
        if (request.window, request.stride) != (None, None):
            lookup(request.model).windows(request.window, request.stride)  # rather now than when the job begins
        return service.jobs.use(request.model, beside=request.beside, window=request.window, stride=request.stride)

    return job_out(await service.reads.run(work), service)
