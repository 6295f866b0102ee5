"""The OpenAPI 3.1 description, made from the table of endpoints and the types of the answers.

Source: OpenAPI Specification 3.1.1; schemas are JSON Schema 2020-12 by msgspec.
"""

import re
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

import msgspec

from linewatch_server.web.answers import ErrorAnswer
from linewatch_server.web.endpoints import Endpoint, Parameter

_PROBE = {"type": "string", "pattern": "^[a-z2-7]{16}$"}
_JSON = "application/json"


def describe(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """Return the document."""
    types = [endpoint.answer for endpoint in endpoints if endpoint.answer is not None]
    schemas, components = msgspec.json.schema_components(
        [*types, ErrorAnswer], ref_template="#/components/schemas/{name}"
    )
    for component in components.values():
        if "properties" in component:
            component["additionalProperties"] = False
    *found, error = schemas
    answers = iter(found)
    paths = {endpoint.path: {"get": _operation(endpoint, answers, error)} for endpoint in endpoints}
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "Linewatch",
            "version": version("linewatch"),
            "description": "What the probes of a fleet measured. Times in fields named `_ms` are "
            "Unix milliseconds of UTC; an interval's open side is null.",
        },
        "paths": paths,
        "components": {"schemas": dict(components)},
    }


def _operation(
    endpoint: Endpoint, answers: Iterator[dict[str, Any]], error: dict[str, Any]
) -> dict[str, Any]:
    schema = next(answers) if endpoint.answer is not None else None
    content: dict[str, Any] = {
        media: {"schema": schema if media == _JSON else {"type": "string"}}
        for media in endpoint.media
    }
    good = {"description": endpoint.text} | ({"content": content} if content else {})
    error_media = _JSON if _JSON in endpoint.media else "text/html"
    error_schema = error if error_media == _JSON else {"type": "string"}
    bad = {
        "description": "No answer; one sentence says why and what to do.",
        "content": {error_media: {"schema": error_schema}},
    }
    return {
        "summary": endpoint.text,
        "parameters": [
            *_path_parameters(endpoint.path),
            *map(_query_parameter, endpoint.parameters),
        ],
        "responses": {"200" if content else "204": good, "default": bad},
    }


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _PROBE}
        for name in re.findall(r"{(\w+)}", path)
    ]


def _query_parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": "query",
        "description": parameter.text,
        "required": parameter.required,
        "schema": parameter.schema,
    }
