"""
Relay contracts: OpenAPI documents with overlays applied, and the requests, keys and URLs that they define.

This package never uses the network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mjrelay.contract.acceptance import declared_parameters, request_problem
from mjrelay.contract.document import ORIGINS, Clause, Contract, SubmitOperation, data_folder
from mjrelay.contract.environment import (
    checked_key,
    environment_key,
    environment_url,
    key_variable,
    known_key,
    missing_key,
    pasted_key,
    read_key,
    resolve_base_url,
)
from mjrelay.contract.forms import Image
from mjrelay.contract.loading import (
    contract_arguments,
    is_path,
    load_contract,
    read_contract,
    relay_name,
    relay_names,
)
from mjrelay.contract.pasted import checked_id
from mjrelay.contract.profiles import (
    Term,
    canonical_path,
    contract_profile,
    profile_differences,
    profile_statements,
    schema_fields,
)
from mjrelay.contract.references import (
    METHODS,
    child_kind,
    operation_name,
    reference_target,
    stray_references,
)
from mjrelay.contract.requests import Template, build_request
from mjrelay.contract.schemas import COMBINING, child_schema, combined_schemas, schema_objects
from mjrelay.contract.shapes import Shape, undocumented_keys
from mjrelay.contract.structure import structural_problems
from mjrelay.contract.submits import Parent, place_schema, submit_request, without_prompt
from mjrelay.contract.values import (
    body_schemas,
    declared_body,
    is_json,
    json_type,
    typed_value,
    value_problems,
)
from mjrelay.contract.yaml import load_yaml, plain_yaml, yaml_line

if TYPE_CHECKING:
    from mjrelay.contract.origins import apply_overlay
    from mjrelay.contract.overlay import Overlay
else:

    def __getattr__(name: str) -> Any:
        # Few programs use overlays, and the JSONPath library takes a third of the import time of mjrelay.
        if name == "Overlay":
            from mjrelay.contract.overlay import Overlay  # noqa: PLC0415 - see above

            return Overlay
        if name == "apply_overlay":
            from mjrelay.contract.origins import apply_overlay  # noqa: PLC0415 - see above

            return apply_overlay
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "COMBINING",
    "METHODS",
    "ORIGINS",
    "Clause",
    "Contract",
    "Image",
    "Overlay",
    "Parent",
    "Shape",
    "SubmitOperation",
    "Template",
    "Term",
    "apply_overlay",
    "body_schemas",
    "build_request",
    "canonical_path",
    "checked_id",
    "checked_key",
    "child_kind",
    "child_schema",
    "combined_schemas",
    "contract_arguments",
    "contract_profile",
    "data_folder",
    "declared_body",
    "declared_parameters",
    "environment_key",
    "environment_url",
    "is_json",
    "is_path",
    "json_type",
    "key_variable",
    "known_key",
    "load_contract",
    "load_yaml",
    "missing_key",
    "operation_name",
    "pasted_key",
    "place_schema",
    "plain_yaml",
    "profile_differences",
    "profile_statements",
    "read_contract",
    "read_key",
    "reference_target",
    "relay_name",
    "relay_names",
    "request_problem",
    "resolve_base_url",
    "schema_fields",
    "schema_objects",
    "stray_references",
    "structural_problems",
    "submit_request",
    "typed_value",
    "undocumented_keys",
    "value_problems",
    "without_prompt",
    "yaml_line",
]
