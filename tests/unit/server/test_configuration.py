"""Configurations as people keep them: recognised by content, read, and refused with reason."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import UsageError
from workbench.server.configuration import _as_argument, read_configuration, split_words
from workbench.server.renderings import documented, render

COMPOSE = """
services:
  app:
    image: ours
    command: serve
  cache:
    image: redis:7.0-alpine
    mem_limit: 64m
    sysctls: [vm.overcommit_memory=1]
    command:
      - redis-server
      - --maxmemory
      - 32mb
      - --stop-writes-on-bgsave-error
      - no
    healthcheck: {test: redis-cli ping}
"""


def read(folder, text, **asked):
    path = folder / "given"
    path.write_text(text)
    return read_configuration(path, **asked)


def values(configuration):
    return {each.name: each.value for each in configuration.directives}


@pytest.mark.parametrize(
    ("form", "kind"),
    [("conf", "redis.conf"), ("argv", "command line"), ("compose", "compose"), ("ecs", "ecs")],
)
@pytest.mark.parametrize("name", ["development", "production"])
def test_what_is_shown_is_read_again(tmp_path, form, kind, name):
    """Each form is known by its content, and says the documented settings."""
    found = read(tmp_path, render(documented(name), form))

    assert found.kind == kind
    assert values(found) == documented(name).settings


def test_line_is_that_of_the_file(tmp_path):
    """For a service as well, where the option stands on a line of its own."""
    conf = read(tmp_path, "# ours\n\nmaxmemory 1gb\nsave ''\n")
    compose = read(tmp_path, COMPOSE)

    assert [(each.name, each.line) for each in conf.directives] == [("maxmemory", 3), ("save", 4)]
    assert [each.line for each in compose.directives] == [12, 14]


def test_words_of_a_list_stay_as_they_are_written(tmp_path):
    """YAML's older readers make a false of `no`; Compose does not."""
    found = read(tmp_path, COMPOSE)

    assert values(found) == {"maxmemory": "32mb", "stop-writes-on-bgsave-error": "no"}
    assert found.limit_bytes == 64 * 1024 * 1024
    assert found.health == ("redis-cli ping",)
    assert found.sysctls == ("vm.overcommit_memory",)
    assert found.where.endswith("service cache")


def test_variables_are_worked_out_as_compose_does(tmp_path, monkeypatch):
    """From the environment, else the default; one that has neither is refused by name."""
    text = "services: {r: {image: redis, command: 'redis-server --maxmemory ${CAP:-8mb} --hz $HZ'}}"
    with pytest.raises(UsageError, match=r"\$\{HZ\}, which has no value"):
        read(tmp_path, text)
    monkeypatch.setenv("HZ", "50")
    monkeypatch.setenv("CAP", "")

    assert values(read(tmp_path, text)) == {"maxmemory": "8mb", "hz": "50"}


def test_task_definition_is_read_like_its_container(tmp_path):
    """As it is registered, and as it is described."""
    container = {"name": "r", "image": "x/redis:7.0", "command": ["redis-server", "--hz", "20"]}
    definition = {"containerDefinitions": [{"name": "app", "image": "ours"}, container]}

    for content in (container, [container], definition, {"taskDefinition": definition}):
        assert values(read(tmp_path, json.dumps(content, indent=1))) == {"hz": "20"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["redis-server", "--save", "--hz", "20"], {"save": "", "hz": "20"}),
        (["redis-server", "--save"], {"save": ""}),
        (["--hz", "20"], {"hz": "20"}),
        (["sh", "-c", "exec redis-server --hz 20"], {"hz": "20"}),
        (["redis-server", "--client-output-buffer-limit", "normal", "0", "0", "0"],
         {"client-output-buffer-limit": "normal 0 0 0"}),
        (["redis-server", "--hz 20"], {"hz": "20"}),
    ],
)  # fmt: skip
def test_arguments_are_taken_as_redis_takes_them(tmp_path, words, expected):
    """An option without a value, one word for both, the entry point's own redis-server."""
    text = json.dumps({"name": "r", "image": "redis", "command": words})

    assert values(read(tmp_path, text)) == expected


def test_lines_that_reach_outside_the_folder_are_taken_out_in_their_place(tmp_path):
    """However their names are spelled; the others keep their numbers."""
    text = (
        'hz 20\nloadmodule /x.so\n"include" /etc/x\n"load\\x6dodule" /y.so\nDIR /etc\n'
        "replicaof h 1\nbind *\ntls-port 1\nuser app on >pw\nrequirepass pw\nmaxmemory 9mb\n"
    )

    found = read(tmp_path, text)

    assert found.harmless_text() == "hz 20\n\n\n\n\n\n\n\n\n\nmaxmemory 9mb\n"
    assert found.harmless_text(without=[1]).strip() == "maxmemory 9mb"
    assert found.unread == ("/etc/x",)


def test_newline_in_an_option_smuggles_nothing_in(tmp_path):
    """Redis splits it into lines, and so does the reader."""
    command = ["redis-server", "--hz 20\nloadmodule /x.so", "--maxmemory", "9mb\nloadmodule /y"]
    text = json.dumps({"name": "r", "image": "redis", "command": command})

    found = read(tmp_path, text)

    assert "x.so" not in found.harmless_text()
    assert found.harmless_text().count("\n") == 2


@pytest.mark.parametrize(
    ("text", "asked", "told"),
    [
        ("{", {}, "is not JSON"),
        ("[1]", {}, "no ECS container definition"),
        ("[" * 100_000, {}, "nested too deeply"),
        ("services:\n  a: [", {}, "not YAML that Compose reads"),
        ("services:\n  a: 1\n", {}, "it has no services"),
        ("services:\n  a: {image: ours}\n", {}, "starts a redis-server"),
        (COMPOSE, {"service": "cahce"}, "did you mean 'cache'"),
        (COMPOSE, {"service": "app"}, "is no redis-server"),
        ("a: {image: redis}\nb: {image: valkey/valkey}\n", {}, "--service: a, b"),
        ("services: {r: {image: redis, mem_limit: lots}}", {}, "not a size"),
        ("services: {r: {command: sh -c 'redis-server | tee x'}}", {}, "a script for a shell"),
        ("redis-server --maxmemory ${floor(1)}mb", {}, "work it out first"),
        ("redis-server --save 'x", {}, "the command line is not one"),
        ("redis-server --sentinel", {}, "starts a sentinel"),
        ('variable "x" {\n}\n', {}, "only Terraform works out"),
        ("hz 20\n", {"service": "r"}, "leave it out"),
        ("hz 20\0", {}, "holds a NUL"),
        ("#" * 1_100_000, {}, "larger than 1 MiB"),
    ],
)
def test_file_that_is_no_configuration_is_refused(tmp_path, text, asked, told):
    """With what is wrong with it, and what to do."""
    with pytest.raises(UsageError, match=told.replace("(", r"\(")):
        read(tmp_path, text, **asked)


def test_file_that_cannot_be_read_is_refused(tmp_path):
    """Missing, a folder, or no text."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")

    for name, told in {"": "directory", "missing": "No such file", "binary": "not UTF-8"}.items():
        with pytest.raises(UsageError, match=told):
            read_configuration(tmp_path / name)


@given(
    st.text(
        st.characters(max_codepoint=127, exclude_characters="\0")
        | st.characters(categories=["L", "N", "P", "S"])
    )
)
def test_argument_is_split_into_itself(word):
    """What is written as one word of a redis.conf is read as that word, of one line."""
    assert "\n" not in _as_argument(word)
    assert split_words(_as_argument(word)) == [word]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("save ''", ["save", ""]),
        (r'a "b \"c\" \x41"', ["a", 'b "c" A']),
        (r"a 'it\'s'", ["a", "it's"]),
        ('a "b', None),
        ('a "b"c', None),
        ("", []),
    ],
)
def test_words_are_split_by_rediss_rules(line, words):
    """Quotes must be balanced, and end the word."""
    assert split_words(line) == words


def test_yaml_that_expands_without_end_is_not_expanded(tmp_path):
    """Aliases are references; nothing grows."""
    bomb = "a: &a [x, x]\n" + "".join(
        f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n"
        for a, b in zip("abcdefghij", "bcdefghijk", strict=True)
    )

    assert yaml.safe_load("a: &a [x]\nb: *a")
    with pytest.raises(UsageError, match="it has no services"):
        read(tmp_path, bomb)
