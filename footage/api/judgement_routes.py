"""Thumbs up and down."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel, Field, model_validator

from footage.api.docs import errors
from footage.api.models import Given, Seconds, VideoId
from footage.api.service import ServiceDep
from footage.evaluate.judgements import Judgement

router = APIRouter(tags=["search"])


class JudgedFrame(Given):
    """A frame of a video in the library that was looked for."""

    video: VideoId
    at: Seconds


class JudgementIn(Given):
    """A verdict on one answer; the query is words or a frame."""

    text: str | None = Field(None, min_length=1, max_length=2000, description="The words that were searched for")
    frame: JudgedFrame | None = Field(None, description="The frame that was searched for")
    video: VideoId
    start: Seconds
    end: Seconds
    good: bool = Field(description="True: thumbs up")

    @model_validator(mode="after")
    def _one_query(self) -> JudgementIn:
        if (self.text is None) == (self.frame is None):
            raise ValueError("a judgement needs exactly one of text and frame")
        return self


class JudgementOut(BaseModel):
    """What was noted."""

    kind: str = Field(description="text or image")
    query: str = Field(description="The words, or the id of the video whose frame was looked for")
    at: float
    video: str
    start: float
    end: float
    good: bool
    when: float = Field(description="Unix time")


@router.post("/judgements", status_code=201, responses=errors(400, 404, 409, 422, 429, 503))
async def judge(request: JudgementIn, service: ServiceDep) -> JudgementOut:
    """Note that an answer was right or wrong; `footage eval mine` compares models and weights by it."""

    def work() -> Judgement:
        frame = request.frame
        query = request.text or "" if frame is None else (frame.video, frame.at)
        return service.library.judge(query, request.video, request.start, request.end, good=request.good)

    return JudgementOut(**(await service.reads.run(work)).as_dict())
