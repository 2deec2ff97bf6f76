"""Does this process live, and can it work?"""

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from dripiq.wiring import Database


def make_router(database: Database) -> APIRouter:
    """`/healthz` and `/readyz`, in the words of those who restart processes and route requests to them."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz")
    async def live() -> dict[str, str]:
        """The process lives. Says nothing of the database, for which a restart would not help."""
        return {"status": "ok"}

    @router.get("/readyz")
    async def ready() -> dict[str, str]:
        """The database answers and is at the revision that this code needs; else 503 and why."""
        await run_in_threadpool(database.check)
        return {"status": "ok"}

    return router
