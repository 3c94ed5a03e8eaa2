"""alerting: the alerts as a file of rules for Prometheus, or as a template for CloudFormation."""

import json
from collections.abc import Iterable
from typing import Any, Final

import yaml

from workbench.diagnostics.alerts import WINDOW_S, Alert, Condition
from workbench.diagnostics.finding import sentence
from workbench.telemetry.metrics import NAMESPACE, cloudwatch_name

__all__ = ["cloudformation_template", "condition_promql", "prometheus_rules", "promql"]

_PERIOD_S: Final = 60
_COMPARISONS: Final = {
    ">": "GreaterThanThreshold",
    ">=": "GreaterThanOrEqualToThreshold",
    "<": "LessThanThreshold",
}


def prometheus_rules(found: Iterable[Alert]) -> str:
    """
    The alerts as a file for ``rule_files`` of Prometheus.

    Args:
        found: the alerts.
    """
    rules = [
        {
            "alert": alert.name,
            "expr": promql(alert),
            **({"for": f"{alert.for_s}s"} if alert.for_s else {}),
            "labels": {"severity": alert.severity},
            "annotations": {
                "summary": f"{{{{ $labels.instance }}}}: {alert.summary}",
                "action": alert.action,
                **({"rule": alert.rule} if alert.rule else {}),
            },
        }
        for alert in found
    ]
    groups = {"groups": [{"name": "redis-flow", "rules": rules}]}
    return str(yaml.safe_dump(groups, sort_keys=False, allow_unicode=True, width=100))


def promql(alert: Alert) -> str:
    """The expression that has a series for each server on which the alert fires."""
    conditions = [condition_promql(each) for each in alert.conditions]
    if len(conditions) > 1:
        conditions = [f"({each})" for each in conditions]
    expression = " and on (job, instance) ".join(conditions)
    if alert.silence:
        expression += f" or absent({alert.conditions[0].metric})"
    return expression


def condition_promql(condition: Condition) -> str:
    """One condition as an expression."""
    function = {"latest": "", "growth": "increase", "falls": "resets"}[condition.reduce]

    def reduced(metric: str, labels: str) -> str:
        return f"{function}({metric}{labels}[{WINDOW_S}s])" if function else f"{metric}{labels}"

    named = ",".join(f'{name}="{value}"' for name, value in condition.labels.items())
    figure = reduced(condition.metric, f"{{{named}}}" if named else "")
    if condition.over:
        figure += f" / {reduced(condition.over, '')}"
    return f"{figure} {condition.operator} {condition.limit:.12g}"


def cloudformation_template(found: Iterable[Alert]) -> str:
    """
    The alerts as a template of CloudFormation: one stack for each server.

    A stack is made, changed and taken away as a whole, and a review sees what changes; alarms that
    were put one by one stay behind when their alert is gone.

    Args:
        found: the alerts.
    """
    template = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Alarms on a Redis that holds conversations, by the rules of workbench.",
        "Parameters": {
            "Server": {
                "Type": "String",
                "Description": "Its name, as of: workbench export --name",
            },
            "Namespace": {"Type": "String", "Default": NAMESPACE},
            "Topic": {
                "Type": "String",
                "Default": "",
                "Description": "ARN of the SNS topic that is told; empty for none.",
            },
        },
        "Conditions": {"Told": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Topic"}, ""]}]}},
        "Resources": {
            alert.name: {"Type": "AWS::CloudWatch::Alarm", "Properties": _alarm(alert)}
            for alert in found
        },
    }
    return json.dumps(template, indent=2, ensure_ascii=False) + "\n"


def _alarm(alert: Alert) -> dict[str, Any]:
    topic = {"Fn::If": ["Told", [{"Ref": "Topic"}], {"Ref": "AWS::NoValue"}]}
    common = {
        "AlarmName": {"Fn::Sub": f"${{Server}}-{alert.name}"},
        "AlarmDescription": " ".join(
            (f"[{alert.severity}]", sentence(alert.summary), sentence(alert.action))
        ),
        "TreatMissingData": "breaching" if alert.silence else "notBreaching",
        "AlarmActions": topic,
        "OKActions": topic,
    }
    (first, *others) = alert.conditions
    if others or first.over or first.reduce == "falls":
        return common | _by_expression(alert)
    period_s = WINDOW_S if first.reduce == "growth" else _PERIOD_S
    return common | {
        **_metric(first.metric, first),
        "Statistic": _statistic(first),
        "Period": period_s,
        "EvaluationPeriods": max(1, alert.for_s // period_s),
        "Threshold": first.limit,
        "ComparisonOperator": _COMPARISONS[first.operator],
    }


def _by_expression(alert: Alert) -> dict[str, Any]:
    """Several figures, or what has to be computed of one: 1 where the alert fires, else 0."""
    falls = any(each.reduce == "falls" for each in alert.conditions)
    # The figures of an expression must have one period. A fall shows within one minute, and in
    # one of five it must.
    period_s = _PERIOD_S if falls else WINDOW_S
    queries: list[dict[str, Any]] = []
    terms = []
    for condition in alert.conditions:
        named = []
        for metric in filter(None, (condition.metric, condition.over)):
            name = f"m{len(queries) + 1}"
            named.append(name)
            statistic = {"Stat": _statistic(condition), "Period": period_s}
            stat = {"Metric": _metric(metric, condition), **statistic}
            queries.append({"Id": name, "MetricStat": stat, "ReturnData": False})
        if condition.reduce == "falls":
            terms.append(f"DIFF({named[0]}) < 0")
        else:
            figure = " / ".join(named)
            terms.append(f"{figure} {condition.operator} {condition.limit:.12g}")
    expression = f"IF({' AND '.join(f'({term})' for term in terms)}, 1, 0)"
    return {
        "Metrics": [
            {"Id": "fires", "Expression": expression, "Label": alert.name, "ReturnData": True},
            *queries,
        ],
        "EvaluationPeriods": WINDOW_S // period_s,
        "DatapointsToAlarm": 1,
        "Threshold": 0,
        "ComparisonOperator": _COMPARISONS[">"],
    }


def _metric(metric: str, condition: Condition) -> dict[str, Any]:
    dimensions: list[dict[str, Any]] = [{"Name": "Server", "Value": {"Ref": "Server"}}]
    labels = {} if metric == condition.over else condition.labels
    dimensions += [{"Name": name.capitalize(), "Value": value} for name, value in labels.items()]
    return {
        "Namespace": {"Ref": "Namespace"},
        "MetricName": cloudwatch_name(metric)[0],
        "Dimensions": dimensions,
    }


def _statistic(condition: Condition) -> str:
    if condition.reduce == "growth":
        return "Sum"
    if condition.reduce == "falls":
        return "Minimum"
    return "Minimum" if condition.operator == "<" else "Maximum"
