"""The operations that the local Studio answers, one small function each.

To add one, write it in a module of this package (a new module is imported below):

    @SAGEMAKER.operation("DescribeWidget")
    async def describe_widget(backend: Backend, p: Parameters) -> Answer:
        return {"WidgetName": p["WidgetName"]}

The parameters have been validated by botocore's model when the function is called, and its answer
is checked and written by the model. Errors are raised as `ApiError`. Another service is another
`OperationTable`, listed in `SERVICES`.
"""

from __future__ import annotations

from ._table import SERVICES, Backend, OperationTable, call

# Importing a module of operations is what fills the tables.
from . import apps, domains, lifecycle, logs, notebooks, parameters, tagging  # isort: skip

__all__ = [
    "SERVICES",
    "Backend",
    "OperationTable",
    "apps",
    "call",
    "domains",
    "lifecycle",
    "logs",
    "notebooks",
    "parameters",
    "tagging",
]
