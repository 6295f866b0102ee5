"""The pages for people and the JSON behind them: server-rendered, no script, read-only.

Asks questions (questions.py), turns answers into values for templates, and
renders. It decides nothing about records and writes nothing anywhere.
"""

from linewatch_server.web.application import make_web_app
from linewatch_server.web.serving import serve

__all__ = ["make_web_app", "serve"]
