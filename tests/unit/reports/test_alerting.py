"""Alerts as files: rules that Prometheus reads, and a template that CloudWatch takes."""

import json
import re

import pytest
import yaml
from typer.testing import CliRunner

from workbench.cli import app
from workbench.diagnostics.alerts import alerts
from workbench.errors import UsageError
from workbench.reports.alerting import cloudformation_template, prometheus_rules, promql
from workbench.telemetry.metrics import METRICS, cloudwatch_name

BY_NAME = {alert.name: alert for alert in alerts()}


@pytest.mark.parametrize(
    ("name", "expression"),
    [
        ("RedisFlowMemoryNearLimit", "redis_flow_memory_limit_ratio > 0.9"),
        ("RedisFlowEvictions", "increase(redis_flow_evicted_keys_total[300s]) > 0"),
        (
            "RedisFlowWritesRefusedDisk",
            'increase(redis_flow_errors_total{error="MISCONF"}[300s]) > 0',
        ),
        (
            "RedisFlowErrorReplies",
            "(increase(redis_flow_error_replies_total[300s]) / "
            "increase(redis_flow_commands_processed_total[300s]) > 0.01) and on (job, instance) "
            "(increase(redis_flow_error_replies_total[300s]) >= 10)",
        ),
        (
            "RedisFlowLiveStateEvicted",
            "(increase(redis_flow_evicted_keys_total[300s]) > 0) and on (job, instance) "
            '(redis_flow_key_idle_seconds{quantile="0.9"} < 300)',
        ),
        ("RedisFlowDown", "redis_flow_up < 1 or absent(redis_flow_up)"),
        ("RedisFlowRestarted", "resets(redis_flow_uptime_seconds[300s]) > 0"),
        ("RedisFlowAofBuffer", "redis_flow_memory_aof_buffer_bytes >= 16777216"),
    ],
)
def test_alert_is_this_expression_for_prometheus(name, expression):
    """One of each form; the data themselves are evaluated in the tests of alerts."""
    assert promql(BY_NAME[name]) == expression


def test_rules_are_of_the_form_that_prometheus_reads():
    (group,) = yaml.safe_load(prometheus_rules(alerts()))["groups"]

    assert [rule["alert"] for rule in group["rules"]] == list(BY_NAME)
    for rule in group["rules"]:
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert re.fullmatch(r"\d+s", rule.get("for", "1s"))
        assert rule["annotations"]["summary"].startswith("{{ $labels.instance }}: ")
        assert set(re.findall(r"redis_flow_\w+", rule["expr"])) <= METRICS.keys()


def resolved(value, given):
    """A template's value with its parameters put in."""
    if isinstance(value, list):
        return [resolved(each, given) for each in value]
    if not isinstance(value, dict):
        return value
    if "Ref" in value:
        return given[value["Ref"]]
    if "Fn::Sub" in value:
        return re.sub(r"\$\{(\w+)\}", lambda name: given[name[1]], value["Fn::Sub"])
    if "Fn::If" in value:
        return resolved(value["Fn::If"][1], given)
    return {name: resolved(each, given) for name, each in value.items()}


def alarms():
    template = json.loads(cloudformation_template(alerts()))
    given = {"Server": "redis-state", "Namespace": "RedisFlow"}
    given["Topic"] = "arn:aws:sns:eu-west-1:123456789012:told"
    assert template["Parameters"].keys() == given.keys()
    assert {each["Type"] for each in template["Resources"].values()} == {"AWS::CloudWatch::Alarm"}
    return {
        name: resolved(each["Properties"], given) for name, each in template["Resources"].items()
    }


def test_alarm_asks_for_metrics_that_are_exported():
    names = {cloudwatch_name(name)[0] for name in METRICS}
    for alarm in alarms().values():
        stats = [each["MetricStat"]["Metric"] for each in alarm.get("Metrics", [])[1:]] or [alarm]
        for stat in stats:
            assert stat["MetricName"] in names
            assert stat["Namespace"] == "RedisFlow"
            assert stat["Dimensions"][0] == {"Name": "Server", "Value": "redis-state"}


def test_alarm_of_several_figures_has_one_expression_and_one_period():
    found = alarms()

    assert found["RedisFlowErrorReplies"]["Metrics"][0]["Expression"] == (
        "IF((m1 / m2 > 0.01) AND (m3 >= 10), 1, 0)"
    )
    assert found["RedisFlowRestarted"]["Metrics"][0]["Expression"] == "IF((DIFF(m1) < 0), 1, 0)"
    for alarm in found.values():
        queries = alarm.get("Metrics", [])
        assert len({each["MetricStat"]["Period"] for each in queries[1:]}) <= 1
        assert [each["ReturnData"] for each in queries] == [True, *[False] * (len(queries) - 1)][
            : len(queries)
        ]


def test_alarms_are_taken_by_cloudwatch_as_they_are(monkeypatch):
    """An emulator on this machine; boto3 checks each property by the service's model."""
    boto3 = pytest.importorskip("boto3")
    moto = pytest.importorskip("moto.server")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    server = moto.ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    try:
        address = f"http://{host}:{port}"
        client = boto3.client("cloudwatch", region_name="eu-west-1", endpoint_url=address)
        for alarm in alarms().values():
            client.put_metric_alarm(**alarm)
        taken = client.describe_alarms(MaxRecords=100)["MetricAlarms"]
        with pytest.raises(Exception, match="Unknown parameter"):
            client.put_metric_alarm(**alarm, Treshold=1)
    finally:
        server.stop()

    assert {each["AlarmName"] for each in taken} == {f"redis-state-{name}" for name in BY_NAME}


def test_file_is_written_whole_or_the_folder_is_named(tmp_path):
    file = tmp_path / "alerts.yml"
    words = ["alerts", "--format", "prometheus", "--out"]

    done = CliRunner().invoke(app, [*words, str(file)])
    refused = CliRunner().invoke(app, [*words, str(tmp_path / "none" / "alerts.yml")])

    assert file.read_text() == prometheus_rules(alerts())
    assert done.output.endswith("alerts.yml\n")
    assert isinstance(refused.exception, UsageError)
    assert "No such file or directory" in str(refused.exception)
    assert list(tmp_path.iterdir()) == [file]
