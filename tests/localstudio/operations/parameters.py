"""Systems Manager's parameters, of the standard tier."""

from __future__ import annotations

from tests.localstudio import names
from tests.localstudio.errors import ApiError, invalid
from tests.localstudio.state import Parameter

from ._table import SSM, Answer, Backend, Parameters

#: Characters that a value of the standard tier may have.
MAX_VALUE = 4096


@SSM.operation("PutParameter")
async def put_parameter(backend: Backend, p: Parameters) -> Answer:
    parameters, name = backend.account.parameters, p["Name"]
    before = parameters.get(name)
    if before is not None and not p.get("Overwrite"):
        raise ApiError("ParameterAlreadyExists", "The parameter already exists.")
    if len(p["Value"]) > MAX_VALUE:
        raise invalid("Standard tier parameters support a maximum parameter value of 4096")
    version = 1 if before is None else before.version + 1
    parameters[name] = Parameter(name, p["Value"], version, backend.now(), p.get("Type", "String"))
    return {"Version": version, "Tier": "Standard"}


@SSM.operation("GetParameter")
async def get_parameter(backend: Backend, p: Parameters) -> Answer:
    found = backend.account.parameters.get(p["Name"])
    if found is None:
        raise ApiError("ParameterNotFound", f"Parameter {p['Name']} not found.")
    return {
        "Parameter": {
            "Name": found.name,
            "Type": found.type,
            "Value": found.value,
            "Version": found.version,
            "LastModifiedDate": found.modified_at,
            "ARN": names.arn(f"parameter/{found.name.lstrip('/')}").replace(":sagemaker:", ":ssm:"),
            "DataType": "text",
        }
    }
