"""Grids: what a file says, what is kept of one that broke off, and what was expected."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.lab.made import measured_of
from workbench.errors import GridError, RunFailedError, ServerMissingError, UsageError
from workbench.lab import grid as grids
from workbench.lab.grid import carry_out, partial, read_grid
from workbench.lab.page import grid_page
from workbench.runs.measurement import read_measurement
from workbench.server.binary import ServerBinary
from workbench.units import MIB

TOP = 'name = "mine"\nseed = 7\n'


@pytest.fixture
def write(tmp_path):
    """A grid file with these lines in its one table of cells, or with these tables."""

    def write(*tables, top=TOP):
        path = tmp_path / "mine.toml"
        path.write_text(top + "".join(f"[[cells]]\n{table}\n" for table in tables))
        return path

    return write


@pytest.fixture(autouse=True)
def _redis_alone(monkeypatch):
    """A machine with a Redis 7.0.15 and no Valkey."""

    def find(engine=None):
        if engine == "valkey":
            raise ServerMissingError("no Valkey server was found")
        return ServerBinary(Path("/redis-server"), "redis", "7.0.15", "jemalloc-5.3.0", "path")

    monkeypatch.setattr(grids, "find_binary", find)


class Laboratory:
    """Measures without a server, and counts; it fails where it is told to."""

    def __init__(self):
        self.cells = []
        self.fails = {}

    def __call__(self, cell, *, binary, folder, progress):
        progress("filling")
        self.cells.append(cell)
        if error := self.fails.get(len(self.cells)):
            raise error
        return measured_of(cell, engine=binary.engine, version=binary.version)


def measure(grid, tmp_path, laboratory, *, resume=False, **others):
    return carry_out(
        grid,
        tmp_path / "out.json",
        command="workbench lab memory --grid mine.toml",
        folder=tmp_path,
        resume=resume,
        measured_by=laboratory,
        **others,
    )


def test_lists_are_combined_and_repeats_have_seeds_of_their_own(write):
    path = write('maxmemory = ["8mb", "16mb"]\nwrites_per_s = [0, 200]\nrepeat = 2')

    grid = read_grid(path)

    told = [
        (each.cell.maxmemory_bytes // MIB, each.cell.writes_per_s, each.cell.seed)
        for each in grid.planned
    ]
    assert told[:4] == [(8, 0, 7), (8, 0, 8), (8, 200, 7), (8, 200, 8)]
    assert len(told) == 8
    assert read_grid(path, seed=20).planned[1].cell.seed == 21


def test_documented_formula_gives_cap_and_limit(write):
    """floor(1024 × 0.35 × 0.95) MiB in 0.35 × 1024 MiB."""
    path = write('task_memory = "1gb"\nwrites_per_s = 200\nexpected = "killed"')

    (planned,) = read_grid(path).planned

    assert planned.cell.maxmemory_bytes == 340 * MIB
    assert planned.cell.limit_bytes == round(358.4 * MIB)


def test_documented_formula_is_in_the_grid_and_expected_to_fail():
    """And ElastiCache's quarter is in it, expected to last."""
    found = {
        (cell.maxmemory_bytes // MIB, cell.writes_per_s, cell.cpu_share, cell.length_spread): each
        for each in read_grid("memory").planned
        if (cell := each.cell).limit_bytes == round(358.4 * MIB)
    }

    assert found[340, 200, None, 0.5].expected == "killed"
    assert found[340, 1000, None, 0.5].expected == "killed"
    assert found[340, 200, 0.35, 0.0].expected == "killed"
    assert found[340, 0, None, 0.0].expected == "survives"
    assert found[268, 1000, None, 0.5].expected == "survives"


def test_quick_grid_has_a_kill_and_a_control():
    expected = {each.expected for each in read_grid("memory-quick").planned}

    assert expected >= {"killed", "survives"}


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ('maxmemroy = "8mb"\nwrites_per_s = 1', "first .*unknown key 'maxmemroy'; did you mean 'm"),
        ('maxmemory = "8 loaves"\nwrites_per_s = 1', "'8 loaves' is not a size such as 512mb"),
        ('maxmemory = "8kb"\nwrites_per_s = 1', "maxmemory is 8 KiB, outside 4 MiB to"),
        ("maxmemory = true\nwrites_per_s = 1", "maxmemory is True, and not a size"),
        ('maxmemory = "8mb"', "writes_per_s is missing"),
        ('maxmemory = "8mb"\nwrites_per_s = []', "writes_per_s is an empty list"),
        ('maxmemory = "8mb"\nwrites_per_s = "many"', "writes_per_s is 'many', and not a number"),
        ('maxmemory = "8mb"\nwrites_per_s = -1', "writes_per_s is -1, outside 0 to 100000"),
        ('maxmemory = "8mb"\nwrites_per_s = nan', "writes_per_s is nan, outside"),
        ("writes_per_s = 1", "none of them is given; give one of maxmemory, maxmemory_share"),
        ('maxmemory = "8mb"\nmaxmemory_share = 0.5\nwrites_per_s = 1', "maxmemory and maxmemory_"),
        ("maxmemory_share = 0.5\nwrites_per_s = 1", "maxmemory_share is 0.5, and there is no lim"),
        ('maxmemory_share = 2\nlimit = "9mb"\nwrites_per_s = 1', "is 2, outside 0 to 1"),
        ('task_memory = "1gb"\nlimit = "9mb"\nwrites_per_s = 1', "task_memory says the limit"),
        ('maxmemory = "8mb"\nwrites_per_s = 1\nexpected = "kill"', "'kill'; did you mean 'killed'"),
        ('maxmemory = "8mb"\nwrites_per_s = 1\nexpected = "killed"', "expected, and there is no l"),
        ('maxmemory = "8mb"\nwrites_per_s = 1\nengine = "redsi"', "'redsi'; did you mean 'redis'"),
        ('maxmemory = "8mb"\nwrites_per_s = 1\nrepeat = 0', "repeat is 0, and not 1 to 100"),
        (
            'maxmemory = "8mb"\nwrites_per_s = 1\nnew_keys = 1',
            "new_keys is 1, and not true or fals",
        ),
        (
            'maxmemory = "8mb"\nwrites_per_s = 1\nvalue_bytes = 3',
            "value_bytes is 3 B, outside 64 B",
        ),
        ('maxmemory = "8mb"\nwrites_per_s = [1, 1]', "the same cell is there twice"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_place(write, table, says):
    with pytest.raises(GridError, match=f"mine.toml: .*{says}"):
        read_grid(write(table))


@pytest.mark.parametrize(
    ("top", "says"),
    [
        ('nmae = "x"\n', "unknown key 'nmae'; did you mean 'name'"),
        ("seed = 1.5\n", "seed is 1.5, and not a whole number"),
        ('name = "../x"\n', r"name is '\.\./x'; a file is named after it"),
        ("name = 3\n", "name is 3, and not a text"),
        ("name = \n", "is not TOML"),
    ],
)
def test_top_of_a_file_is_checked_as_well(write, top, says):
    with pytest.raises(GridError, match=says):
        read_grid(write('maxmemory = "8mb"\nwrites_per_s = 1', top=top))


def test_file_without_cells_and_unknown_names_are_refused(write):
    with pytest.raises(GridError, match=r"has no \[\[cells\]\]"):
        read_grid(write())
    with pytest.raises(GridError, match="no grid 'memroy'; did you mean 'memory'"):
        read_grid("memroy")
    with pytest.raises(GridError, match=r"there is no file nowhere\.toml"):
        read_grid("nowhere.toml")


def test_expectations_are_held_against_what_came(write, tmp_path):
    """Killed at a tenth over the cap: right, and for a limit of twice the cap wrong."""
    path = write(
        'maxmemory = "8mb"\nlimit = ["8.5mb", "16mb"]\nwrites_per_s = 1\nexpected = "killed"'
    )

    made = measure(read_grid(path), tmp_path, Laboratory())

    assert [row["held"] for row in made.rows] == [True, False]
    assert made.derived["expectations_held"] == 1
    assert read_measurement(tmp_path / "out.json", "memory-grid") == made


def test_without_a_cgroup_the_peak_stands_for_the_kill(write, tmp_path):
    def by_process_tree(cell, **_):
        found = measured_of(cell, watched_by="the process tree", why_no_cgroup="read-only")
        return replace(found, killed=False, killed_in="", killed_process="")

    path = write('maxmemory = "8mb"\nlimit = "8.5mb"\nwrites_per_s = 1\nexpected = "killed"')

    made = measure(read_grid(path), tmp_path, by_process_tree)

    assert made.rows[0]["held"] is True
    assert "over the limit" in grid_page(made)


def test_grid_that_broke_off_goes_on_where_it_was(write, tmp_path):
    """What is measured is in a file after each cell, and is not measured again."""
    path = write('maxmemory = "8mb"\nwrites_per_s = [1, 2, 3]')
    first, second = Laboratory(), Laboratory()
    first.fails = {3: KeyboardInterrupt()}
    out = tmp_path / "out.json"

    with pytest.raises(KeyboardInterrupt):
        measure(read_grid(path), tmp_path, first)
    kept = read_measurement(partial(out), "memory-grid")
    unfinished = out.exists()
    made = measure(read_grid(path), tmp_path, second, resume=True)

    assert [row["writes_per_s"] for row in kept.rows] == [1, 2]
    assert not unfinished
    assert [cell.writes_per_s for cell in second.cells] == [3]
    assert [row["writes_per_s"] for row in made.rows] == [1, 2, 3]
    assert not partial(out).exists()


def test_finished_grid_is_taken_over_as_it_was_made(write, tmp_path):
    """As to write its page again: nothing is measured, and its date stays."""
    path = write('maxmemory = "8mb"\nwrites_per_s = 1')
    made = measure(read_grid(path), tmp_path, Laboratory())
    out = tmp_path / "out.json"
    out.write_text(out.read_text().replace(made.made_at, "2026-01-02T03:04:05Z"))
    again = Laboratory()

    found = measure(read_grid(path), tmp_path, again, resume=True)

    assert again.cells == []
    assert found.made_at == "2026-01-02T03:04:05Z"
    assert found.rows == made.rows


def test_what_another_machine_measured_is_not_gone_on_with(write, tmp_path):
    path = write('maxmemory = "8mb"\nwrites_per_s = 1')
    made = measure(read_grid(path), tmp_path, Laboratory())
    out = tmp_path / "out.json"
    out.write_text(out.read_text().replace(f'"cores": {made.host["cores"]}', '"cores": 96'))

    with pytest.raises(UsageError, match="measured on another machine"):
        measure(read_grid(path), tmp_path, Laboratory(), resume=True)


def test_cell_that_fails_is_told_and_the_others_go_on(write, tmp_path):
    """A failure and a missing engine each leave a row that says why; a resume tries them again."""
    path = write('engine = ["valkey", "redis"]\nmaxmemory = "8mb"\nwrites_per_s = [1, 2]')
    first, second = Laboratory(), Laboratory()
    first.fails = {1: RunFailedError("the disk is full")}

    made = measure(read_grid(path), tmp_path, first)
    again = measure(read_grid(path), tmp_path, second, resume=True)

    reasons = [row["why"] for row in made.rows]
    assert reasons == ["no Valkey server was found"] * 2 + ["the disk is full", ""]
    assert made.derived["cells_measured"] == 1
    assert [cell.writes_per_s for cell in second.cells] == [1]
    assert again.derived["cells_measured"] == 2
    assert "not measured: the disk is full" in grid_page(made)


def test_time_left_is_told_from_the_second_cell_on(write, tmp_path):
    said = []
    path = write('maxmemory = "8mb"\nwrites_per_s = [1, 2]')

    measure(read_grid(path), tmp_path, Laboratory(), progress=said.append)

    assert said[0] == "cell 1 of 2: filling"
    assert said[1].startswith("cell 2 of 2, ")
    assert said[1].endswith("s left: filling")


def test_page_has_a_row_a_cell_with_its_circumstances(write, tmp_path):
    path = write(
        'label = "tight"\nmaxmemory = "8mb"\nlimit = "8.5mb"\nwrites_per_s = 200\n'
        'hot_share = 0.9\nvcpu = 0.35\nexpected = "killed"',
        'maxmemory = "8mb"\nwrites_per_s = 0\nvalue_bytes = 2600\nnew_keys = true',
    )

    page = grid_page(measure(read_grid(path), tmp_path, Laboratory()))

    assert "Written by `workbench lab memory --grid mine.toml`" in page
    assert "seed 7. Of 1 rows of which something was expected, 1 came out so." in page
    tight, free = (line for line in page.splitlines() if line.startswith(("| tight", "|  |")))
    for text in ("5.88 %", "200/s", "1,024 B, 90 % on a tenth", "0.35", "killed in the rewrite"):
        assert f"| {text} |" in tight
    for text in ("2,600 B, new", "1.100", "2.5 s"):
        assert f"| {text} |" in free
    assert tight.count("|") == free.count("|")
