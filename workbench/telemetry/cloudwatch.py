"""
CloudWatch: figures as lines of the embedded metric format, and by PutMetricData.

CloudWatch knows no counters that are only ever raised: of those the increase since the look before
is sent. boto3 is an extra, and is imported when something is to be sent by it.
"""

import importlib
import json
import os
from collections.abc import Iterable, Iterator
from typing import Any, Final

from workbench.errors import UsageError, WorkbenchError
from workbench.state import redact
from workbench.telemetry.metrics import PREFIX, Sample, cloudwatch_name

__all__ = ["CloudWatch", "SendError", "batches", "data", "emf_lines"]

# Limits of CloudWatch: figures of a directive of the format, and of a request; bytes of a request.
_EMF_METRICS_MAX: Final = 100
_METRICS_MAX: Final = 1000
_REQUEST_BYTES_MAX: Final = 1_000_000
# In a request each field bears its path, such as MetricData.member.1000.Dimensions.member.1.Value.
_FIELD_BYTES: Final = 64
_INFO: Final = f"{PREFIX}server_info"


class SendError(WorkbenchError):
    """CloudWatch did not take the figures."""


def emf_lines(
    found: Iterable[Sample], *, namespace: str, server: str, unix_s: float, high_resolution: bool
) -> Iterator[str]:
    """
    The figures as lines of JSON in the embedded metric format, one for each set of dimensions.

    Args:
        found: the figures.
        namespace: of the metrics.
        server: value of the dimension ``Server``.
        unix_s: when they were taken.
        high_resolution: whether CloudWatch keeps them by the second, and not by the minute.
    """
    by_dimensions: dict[tuple[tuple[str, str], ...], list[Sample]] = {}
    properties: dict[str, str] = {}
    for sample in found:
        if sample.metric.name == _INFO:  # to search the log by, and no figure
            properties = {
                _camel(name): value
                for name, value in zip(sample.metric.labels, sample.labels, strict=True)
            }
            continue
        by_dimensions.setdefault(_dimensions(sample, server), []).append(sample)
    for dimensions, its in by_dimensions.items():
        for first in range(0, len(its), _EMF_METRICS_MAX):
            part = [(*cloudwatch_name(each.metric.name), each.value) for each in its[first:][:100]]
            directive = {
                "Namespace": namespace,
                "Dimensions": [[name for name, _ in dimensions]],
                "Metrics": [
                    {"Name": name, "Unit": unit}
                    | ({"StorageResolution": 1} if high_resolution else {})
                    for name, unit, _ in part
                ],
            }
            line = {
                "_aws": {"Timestamp": round(1000 * unix_s), "CloudWatchMetrics": [directive]},
                **properties,
                **dict(dimensions),
                **{name: value for name, _, value in part},
            }
            yield json.dumps(line, allow_nan=False, separators=(",", ":"))


def data(
    found: Iterable[Sample], *, server: str, unix_s: float, high_resolution: bool
) -> list[dict[str, Any]]:
    """The figures as ``MetricData`` of PutMetricData; see ``emf_lines``."""
    made = []
    for sample in found:
        if sample.metric.name == _INFO:
            continue
        name, unit = cloudwatch_name(sample.metric.name)
        made.append(
            {
                "MetricName": name,
                "Dimensions": [
                    {"Name": key, "Value": value} for key, value in _dimensions(sample, server)
                ],
                "Timestamp": unix_s,
                "Value": sample.value,
                "Unit": unit,
                "StorageResolution": 1 if high_resolution else 60,
            }
        )
    return made


def batches(
    made: Iterable[dict[str, Any]],
    *,
    count_max: int = _METRICS_MAX,
    bytes_max: int = _REQUEST_BYTES_MAX,
) -> Iterator[list[dict[str, Any]]]:
    """The figures in as few parts as may be sent at once."""
    batch: list[dict[str, Any]] = []
    held = 0
    for datum in made:
        size = _bytes_at_most(datum)
        if batch and (len(batch) == count_max or held + size > bytes_max):
            yield batch
            batch, held = [], 0
        batch.append(datum)
        held += size
    if batch:
        yield batch


class CloudWatch:
    """
    Sends figures by PutMetricData.

    Args:
        namespace: of the metrics.
        region: of AWS; as the environment says if None.
        endpoint_url: another address than AWS's own.

    Raises:
        UsageError: boto3 is missing, or knows no region, or the address makes no sense.
    """

    def __init__(
        self, *, namespace: str, region: str | None = None, endpoint_url: str | None = None
    ) -> None:
        self._namespace = namespace
        try:
            boto3 = importlib.import_module("boto3")
        except ImportError:
            raise UsageError(
                "--to cloudwatch needs boto3, which is not installed: "
                "pip install 'redis-flow-workbench[cloudwatch]'; or print lines for the log by "
                "--to emf, which needs nothing"
            ) from None
        config = importlib.import_module("botocore.config")
        self._errors = importlib.import_module("botocore.exceptions")
        try:
            self._client: Any = boto3.client(
                "cloudwatch",
                # Of boto3 only AWS_DEFAULT_REGION is heard; a task on ECS has AWS_REGION.
                region_name=region or os.environ.get("AWS_REGION"),
                endpoint_url=endpoint_url,
                config=config.Config(connect_timeout=5, read_timeout=10),
            )
        except self._errors.NoRegionError:
            raise UsageError(
                "no AWS region is known; name one by --region, or by AWS_REGION"
            ) from None
        except (ValueError, self._errors.BotoCoreError) as error:
            raise UsageError(f"CloudWatch cannot be reached: {redact(str(error))}") from None

    def send(self, made: list[dict[str, Any]]) -> int:
        """
        Send the figures; in how many requests.

        Raises:
            SendError: some or all of them were not taken, after boto3's own retries.
        """
        requests = 0
        try:
            for batch in batches(made):
                self._client.put_metric_data(Namespace=self._namespace, MetricData=batch)
                requests += 1
        except (self._errors.BotoCoreError, self._errors.ClientError) as error:
            raise SendError(f"CloudWatch took no figures: {redact(str(error))}") from None
        return requests

    def close(self) -> None:
        """Close its connections."""
        self._client.close()


def _dimensions(sample: Sample, server: str) -> tuple[tuple[str, str], ...]:
    named = zip(sample.metric.labels, sample.labels, strict=True)
    return (("Server", server), *((_camel(name), value) for name, value in named))


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _bytes_at_most(datum: dict[str, Any]) -> int:
    fields = 5 + 2 * len(datum["Dimensions"])
    # A character may take three bytes in UTF-8, and each of these three in a form.
    return 3 * len(json.dumps(datum)) + _FIELD_BYTES * fields
