"""The board: what it asks for is exported, and the file in the documentation is this one."""

import json
import re
from pathlib import Path

from workbench.reports.dashboard import dashboard, expressions
from workbench.telemetry.metrics import METRICS

FILE = Path(__file__).parents[3] / "docs" / "grafana" / "flow-state.json"
BOARD = json.loads(dashboard())


def asked():
    """Every expression in the file itself, of panels and of annotations."""
    targets = [target for panel in BOARD["panels"] for target in panel["targets"]]
    return [each["expr"] for each in [*targets, *BOARD["annotations"]["list"]]]


def test_file_is_what_the_code_says():
    """Else: workbench dashboard > docs/grafana/flow-state.json."""
    assert FILE.read_text() == dashboard()


def test_every_metric_that_it_asks_for_is_exported():
    names = {name for each in asked() for name in re.findall(r"redis_flow_\w+", each)}

    assert len(names) > 30
    assert names <= METRICS.keys()
    assert len(expressions()) == len(asked()) + 1  # and the variable's


def test_counter_is_asked_for_by_its_growth_and_a_gauge_is_not():
    for expression in asked():
        for name in re.findall(r"redis_flow_\w+", expression):
            grown = re.search(rf"(?:rate|increase|resets)\({name}{{", expression)
            gauge_that_falls = name == "redis_flow_uptime_seconds"
            assert gauge_that_falls or bool(grown) == (METRICS[name].kind == "counter")


def test_every_figure_is_of_the_chosen_server_and_the_chosen_source():
    for expression in asked():
        assert expression.count('{instance="$instance"') == len(
            re.findall(r"redis_flow_\w+", expression)
        )
    variables = [each["name"] for each in BOARD["templating"]["list"]]
    assert variables == ["datasource", "instance"]
    sources = {json.dumps(panel["datasource"]) for panel in BOARD["panels"]}
    assert sources == {'{"type": "prometheus", "uid": "${datasource}"}'}


def test_labels_in_a_legend_are_labels_of_its_metric():
    for panel in BOARD["panels"]:
        for target in panel["targets"]:
            (first, *_) = re.findall(r"redis_flow_\w+", target["expr"])
            labels = re.findall(r"{{(\w+)}}", target["legendFormat"])
            assert set(labels) == set(METRICS[first].labels) - set(
                re.findall(r'(\w+)="(?!\$)', target["expr"])
            )


def test_panels_do_not_overlap_and_have_ids_of_their_own():
    taken = [
        (panel["gridPos"]["x"] + column, panel["gridPos"]["y"])
        for panel in BOARD["panels"]
        for column in range(panel["gridPos"]["w"])
    ]

    assert len(taken) == len(set(taken))
    assert max(column for column, _ in taken) < 24
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
