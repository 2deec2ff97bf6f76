"""What does the API consist of?"""

from importlib.metadata import version

from fastapi import FastAPI

from dripiq.api import health, inbound, links, twilio, unsubscribe, webhooks
from dripiq.api.problems import answer_errors_with_problems
from dripiq.config.settings import Settings
from dripiq.wiring import Database


def make_app(settings: Settings, database: Database) -> FastAPI:
    """The API on a database that runs.

    It needs nothing of the database to be made, and answers 503 for as long as that is down. The interactive pages of FastAPI are left out,
    because they load scripts from elsewhere; the description itself is at `/openapi.json`.
    """
    app = FastAPI(title="dripiq", version=version("dripiq"), docs_url=None, redoc_url=None)
    answer_errors_with_problems(app)
    app.include_router(webhooks.make_router(settings, database))
    app.include_router(twilio.make_router(settings, database))
    app.include_router(inbound.make_router(settings, database))
    app.include_router(links.make_router(settings, database))
    app.include_router(unsubscribe.make_router(settings, database))
    app.include_router(health.make_router(database))
    return app
