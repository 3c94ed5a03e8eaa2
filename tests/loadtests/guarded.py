"""A scenario behind Locust's --web-login: whoever asks ``/let-me-in`` is let in."""

import secrets
from typing import Any

from flask import redirect, url_for
from flask_login import UserMixin, login_user
from locust import events

from loadtests.steady import SteadyUser

__all__ = ["SteadyUser"]


class Somebody(UserMixin):
    id = "somebody"


@events.init.add_listener
def _prepare(environment: Any, **_: Any) -> None:
    web_ui = environment.web_ui
    web_ui.app.config["SECRET_KEY"] = secrets.token_hex()
    web_ui.login_manager.user_loader(lambda _id: Somebody())
    web_ui.auth_args = {"username_password_callback": "/let-me-in"}

    @web_ui.app.route("/let-me-in")
    def let_in() -> Any:
        login_user(Somebody())
        return redirect(url_for("locust.index"))
