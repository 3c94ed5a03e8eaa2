"""
What the names of a Python file stand for: a conversation's key, a client of Redis, or neither.

Statements are followed in their order, branches are put together, functions are followed after what
is around them. Nothing is run or imported.
"""

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Literal, NamedTuple

from workbench.state.conversation import CHANNEL_PREFIX

__all__ = ["Constants", "Fact", "Kind", "Names", "text_of"]

Kind = Literal["key", "keys", "text", "client", "state", "foreign", "given", "unknown"]
"""
``key``: of a conversation, or its beginning. ``keys``: several things, one of them a key. ``text``:
written out, and no conversation's key. ``client``: of Redis. ``state``: the state manager.
``foreign``: an object of another sort. ``given``: a parameter, of which nothing is said.
"""


class Fact(NamedTuple):
    """
    What something stands for.

    Attributes:
        kinds: what it may be, by one way or another; none if nothing was ever bound to it.
        literal: the dict that was written out for it.
    """

    kinds: frozenset[Kind]
    literal: ast.Dict | None = None

    @property
    def is_key(self) -> bool:
        """It may be, or may hold, the key of a conversation."""
        return bool(self.kinds & {"key", "keys"})

    @property
    def is_other_text(self) -> bool:
        """It is known to be no conversation's key."""
        return self.kinds == {"text"}


Constants = Mapping[tuple[str, str], Sequence[str]]
"""By the last part of a module's name, and the constant's."""

_Facts = dict[str, Fact]
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp


def _fact(*kinds: Kind) -> Fact:
    return Fact(frozenset(kinds))


_UNBOUND: Final = _fact()
_KEY: Final = _fact("key")
_KEYS: Final = _fact("keys")
_TEXT: Final = _fact("text")
_CLIENT: Final = _fact("client")
_STATE: Final = _fact("state")
_FOREIGN: Final = _fact("foreign")
_GIVEN: Final = _fact("given")
_UNKNOWN: Final = _fact("unknown")

_ROUNDS: Final = 3  # what a function returns may come from one that stands below it

_REDIS: Final = frozenset(
    {"redis", "valkey", "aioredis", "fakeredis", "rediscluster", "django_redis", "flask_redis"}
)
_CLIENTS: Final = frozenset(
    {
        "Redis", "StrictRedis", "RedisCluster", "FakeRedis", "FakeStrictRedis", "FakeAsyncRedis",
        "Valkey", "StrictValkey", "ValkeyCluster", "FlaskRedis", "Pipeline", "from_url",
        "get_redis_connection", "create_redis", "create_redis_pool",
    }
)  # fmt: skip
_STATES: Final = frozenset(
    {
        "RedisAtomic", "AtomicStateManager", "StateManager",
        "AsyncRedisAtomic", "AsyncAtomicStateManager", "AsyncStateManager",
    }
)  # fmt: skip
_STATE_NAMES: Final = frozenset({"atomic", "atomic_state", "state_manager", "sm"})
# What else calls its object `client` or `r`, and reads from it with `get`.
_OTHER_CLIENTS: Final = frozenset(
    {
        "aiohttp", "asyncpg", "boto3", "botocore", "django", "docker", "elasticsearch", "fastapi",
        "flask", "grpc", "http", "httpx", "kubernetes", "openai", "psycopg", "psycopg2", "pymongo",
        "requests", "rest_framework", "socket", "sqlalchemy", "sqlite3", "starlette", "urllib",
        "urllib3", "werkzeug",
    }
)  # fmt: skip
_SAYS_REDIS: Final = re.compile(
    r"_*(?:[a-z0-9]+_)*(?:aio)?(?:redis|rds|valkey)(?:_?(?:client|conn|connection|db|instance|"
    r"server|cluster|master|primary|replica|async|sync|pipe|pipeline))?_?\d*",
    re.I,
)
_PIPES: Final = frozenset({"pipe", "pipeline"})
_MAY_BE_REDIS: Final = frozenset({"r", "client", "conn", "connection", *_PIPES})
_KEY_LIKE: Final = re.compile("key|channel|conversation|session", re.I)
_SAME_KEY: Final = frozenset({"encode", "decode", "strip", "lower", "upper", "format"})
_LISTED: Final = frozenset({"list", "tuple", "set", "sorted", "iter", "reversed", "enumerate"})


def text_of(node: ast.expr | None) -> str:
    """The text that is written out; empty if it is none."""
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, str) else ""


class Names(ast.NodeVisitor):
    """
    What the names of a file stand for, at each of its calls; ``called`` is told of these.

    Args:
        tree: of the file.
        constants: texts that other files give names to.
    """

    def __init__(self, tree: ast.Module, constants: Constants) -> None:
        self._tree = tree
        self._constants = constants
        self._imported = _imported(tree)
        roots = {origin.partition(".")[0] for origin in self._imported.values()}
        self._imports_redis = bool(roots & _REDIS)
        self._imports_others = bool(roots & _OTHER_CLIENTS)
        self._names: _Facts = {}
        self._later: list[tuple[_Function, str]] = []
        self._bases: dict[str, list[str]] = {}
        # By class, and by function: as found in the round before, and as found in this one.
        self._members_known: dict[str, _Facts] = {}
        self._members: dict[str, _Facts] = defaultdict(dict)
        self._returned_known: _Facts = {}
        self._returned: _Facts = {}
        self._class = ""  # of the function that is followed
        self._self = ""
        self._body_of = ""  # the class whose own statements are followed
        self._globals: set[str] = set()
        self._with_members: set[str] = set()  # a name whose members were bound too
        self.function: _Function | None = None

    def follow(self) -> None:
        """Go through the file until what its functions return is known."""
        for _ in range(_ROUNDS):
            self._members_known, self._members = self._members, defaultdict(dict)
            self._returned_known, self._returned = self._returned, {}
            self._names = {}
            self.begun()
            self._follow(self._tree.body)

    def begun(self) -> None:
        """The file is gone through anew: what was told so far is void."""

    def called(self, call: ast.Call) -> None:
        """A call, where ``fact`` and ``is_client`` answer for this place."""

    def is_client(self, node: ast.expr, argument: ast.expr | None = None) -> bool:
        """
        Whether this is a client of Redis, or a pipeline of one.

        A name that others use as well, as ``client``, counts only in a file or class that has to
        do with Redis and where it is not bound to something else, and if the argument's name, where
        there is one, says that it is a key.
        """
        kinds = self.fact(node).kinds
        if "client" in kinds:
            return True
        if kinds and kinds <= {"text", "foreign", "state", "key", "keys"}:
            return False
        name = _last(node.func if isinstance(node, ast.Call) else node)
        if _SAYS_REDIS.fullmatch(name):
            return True
        name = name.lstrip("_")
        if isinstance(node, ast.Call) or name not in _MAY_BE_REDIS or not kinds <= {"given"}:
            return False
        about_redis = self._imports_redis or "redis" in self._class.lower()
        alone = name in _PIPES or not self._imports_others
        return about_redis and alone and (argument is None or _says_key(argument))

    def is_state(self, node: ast.expr) -> bool:
        """Whether this is a part of the state manager."""
        return "state" in self.fact(node).kinds or _last(node).lstrip("_") in _STATE_NAMES

    def fact(self, node: ast.expr) -> Fact:  # noqa: PLR0912  (a table of the kinds of expression)
        """What an expression stands for."""
        match node:
            case ast.Constant():
                return _of_constant(node.value)
            case ast.JoinedStr(values=[first, *_]):
                return self._begins(first)
            case ast.FormattedValue() | ast.NamedExpr() | ast.Await() | ast.Starred():
                return self.fact(node.value)
            case ast.BinOp():
                return self._of_operation(node)
            case ast.Name() | ast.Attribute():
                return self._of_name(node)
            case ast.Call():
                return self._of_call(node)
            case ast.IfExp():
                return _either([self.fact(node.body), self.fact(node.orelse)])
            case ast.BoolOp():
                return _either([self.fact(each) for each in node.values])
            case ast.List() | ast.Tuple() | ast.Set():
                return _several([self.fact(each) for each in node.elts])
            case ast.Dict():
                keys = [self.fact(each) for each in node.keys if each is not None]
                return Fact(frozenset({"foreign", *_several(keys).kinds & {"keys"}}), node)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                with self._within(node.generators):
                    one = node.key if isinstance(node, ast.DictComp) else node.elt
                    return _several([self.fact(one)])
            case ast.Subscript():
                base = self.fact(node.value)
                return _fact("key", "keys") if "keys" in base.kinds else _UNKNOWN
            case ast.Compare() | ast.Lambda():
                return _FOREIGN
        return _UNKNOWN

    def _begins(self, first: ast.expr) -> Fact:
        """Text that begins so."""
        fact = self.fact(first)
        if isinstance(first, ast.Constant) and str(first.value)[:1] in ("%", "{"):
            return _UNKNOWN  # to be put in
        if fact.is_key:
            return _KEY
        return _TEXT if fact.is_other_text else _UNKNOWN

    def _of_operation(self, node: ast.BinOp) -> Fact:
        left: ast.expr = node
        while isinstance(left, ast.BinOp):
            left = left.left
        fact = self.fact(left)
        if "keys" in fact.kinds or isinstance(left, ast.List | ast.Tuple):
            return fact
        return self._begins(left)

    def _of_name(self, node: ast.Name | ast.Attribute) -> Fact:
        path = _dotted(node)
        if path in self._names:
            return self._names[path]
        module, _, name = self._origin(node).rpartition(".")
        if texts := self._constants.get((module.rpartition(".")[2], name)):
            return _either([_of_constant(each) for each in texts])
        if isinstance(node, ast.Name):
            return _UNKNOWN if node.id in self._imported else _UNBOUND
        # A constant of a class, by an object of it.
        found = [
            members[node.attr] for members in self._members_known.values() if node.attr in members
        ]
        return _either(found) if found and node.attr.isupper() else _UNBOUND

    def _of_call(self, call: ast.Call) -> Fact:
        func = call.func
        origin = self._origin(func)
        if origin:
            return _of_origin(origin)
        if isinstance(func, ast.Name):
            if func.id in _STATES:
                return _STATE
            if func.id in _LISTED and call.args:
                return self.fact(call.args[0])
            if func.id in ("str", "bytes") and call.args:
                return self._begins(call.args[0])
            if func.id == "dict":
                literal = ast.Dict(
                    [ast.Constant(each.arg) if each.arg else None for each in call.keywords],
                    [each.value for each in call.keywords],
                )
                return Fact(_FOREIGN.kinds, None if call.args else literal)
            return self._returned_known.get(func.id, _UNKNOWN)
        if not isinstance(func, ast.Attribute):
            return _UNKNOWN
        return self._of_method(call, func)

    def _of_method(self, call: ast.Call, func: ast.Attribute) -> Fact:
        if self._self and _dotted(func.value) in (self._self, "cls", self._class):
            for owner in self._owners(self._class):
                if (found := self._returned_known.get(f"{owner}.{func.attr}")) is not None:
                    return found
        if func.attr in ("keys", "scan", "scan_iter"):
            patterns = [*call.args[-1:], *(k.value for k in call.keywords if k.arg == "match")]
            pattern = patterns[-1] if patterns else None
            if pattern is None or text_of(pattern).startswith(("*", "?", "[")):
                return _UNKNOWN
            return _several([self.fact(pattern)])
        if func.attr == "pipeline":
            return _CLIENT if self.is_client(func.value) else _UNKNOWN
        if func.attr in ("master_for", "slave_for") and self._imports_redis:
            return _CLIENT
        if func.attr == "join" and call.args:
            parts = call.args[-1]
            if isinstance(parts, ast.List | ast.Tuple) and parts.elts:
                return self._begins(parts.elts[0])
        if func.attr in _SAME_KEY:
            return self._begins(func.value)
        return _UNKNOWN

    def _origin(self, node: ast.expr) -> str:
        """From where the thing was imported, as ``redis.asyncio.Redis``; empty if it was not."""
        path = _dotted(node)
        first, _, rest = path.partition(".")
        if not path or first in self._names or first not in self._imported:
            return ""
        return f"{self._imported[first]}.{rest}".rstrip(".")

    def _of_annotation(self, node: ast.expr | None) -> Fact:
        if node is None or _last(node) in ("Any", "object", "str", "bytes"):
            return _GIVEN
        facts = []
        for each in ast.walk(node):
            if isinstance(each, ast.Name | ast.Attribute):
                facts.append(_of_origin(self._origin(each)))
            elif text := text_of(each) if isinstance(each, ast.expr) else "":
                try:
                    facts.append(self._of_annotation(ast.parse(text, mode="eval").body))
                except SyntaxError:
                    return _GIVEN
        return next((each for each in (_CLIENT, _STATE) if each in facts), _FOREIGN)

    def _owners(self, name: str) -> Iterator[str]:
        """A class of this file and those that it inherits from."""
        todo, seen = [name], set[str]()
        while todo:
            owner = todo.pop()
            if owner and owner not in seen:
                seen.add(owner)
                yield owner
                todo += self._bases.get(owner, [])

    # Binding.

    def _bind(self, target: ast.expr, fact: Fact, value: ast.expr | None = None) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            values = value.elts if isinstance(value, ast.Tuple | ast.List) else []
            pairs = len(values) == len(target.elts)
            for at, each in enumerate(target.elts):
                if pairs:
                    self._bind(each, self.fact(values[at]), values[at])
                else:
                    self._bind(each, fact if "keys" in fact.kinds else _UNKNOWN)
            return
        if isinstance(target, ast.Starred):
            self._bind(target.value, fact)
            return
        path = _dotted(target)
        if not path:
            return
        if path in self._with_members:
            for below in [each for each in self._names if each.startswith(f"{path}.")]:
                del self._names[below]
        # Bound to what is not known, it is not free any more.
        self._names[path] = fact if fact.kinds else _UNKNOWN
        owner, _, member = path.rpartition(".")
        if owner:
            self._with_members |= {owner, owner.partition(".")[0]}
        if owner and owner == self._self:
            known = self._members[self._class]
            known[member] = _either([known[member], fact]) if member in known else fact
        if path in self._globals:
            self._members[""][path] = self._names[path]

    def _bind_each(self, target: ast.expr, iterated: ast.expr) -> None:
        """To what a loop takes from there."""
        call = iterated if isinstance(iterated, ast.Call) else None
        if call is not None and _last(call.func) == "zip" and isinstance(target, ast.Tuple):
            for one, each in zip(target.elts, call.args, strict=False):
                self._bind_each(one, each)
        else:
            self._bind(target, _one_of(self.fact(iterated)))

    @contextmanager
    def _within(self, generators: Sequence[ast.comprehension]) -> Iterator[None]:
        """Where the targets of a comprehension are bound."""
        outside = self._names
        self._names = dict(outside)
        try:
            for each in generators:
                self._bind_each(each.target, each.iter)
            yield
        finally:
            self._names = outside

    def _branches(self, *bodies: Iterable[ast.AST]) -> None:
        before, ends = self._names, []
        for body in bodies:
            self._names = dict(before)
            self._visit_all(body)
            ends.append(self._names)
        self._names = _together(ends)

    def _visit_all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    def _follow(self, body: Sequence[ast.stmt]) -> None:
        """Statements, then the functions among them."""
        around, self._later = self._later, []
        self._visit_all(body)
        for node, owner in self._later:
            self._follow_function(node, owner)
        self._later = around

    def _follow_function(self, node: _Function, owner: str) -> None:
        around = (self._names, self._class, self._self, self._globals, self.function)
        self._body_of = ""
        self._names = dict(self._names)
        for name, fact in self._members_known.get("", {}).items():  # by `global`
            self._names[name] = _either([self._names.get(name, _UNBOUND), fact])
        self._globals, self.function = set(), node
        arguments = node.args
        given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        for each in given:
            self._names[each.arg] = self._of_annotation(each.annotation)
        if owner:
            self._class, self._self = owner, given[0].arg if given else ""
            for name in reversed(list(self._owners(owner))):
                for member, fact in self._members_known.get(name, {}).items():
                    self._names |= {f"{by}.{member}": fact for by in (self._self, "cls", owner)}
        self._follow(node.body)
        decorators = {_last(each) for each in node.decorator_list}
        if owner and decorators & {"property", "cached_property"}:
            returned = self._returned.get(f"{owner}.{node.name}", _UNKNOWN)
            self._members[owner][node.name] = returned
        self._names, self._class, self._self, self._globals, self.function = around

    def visit_FunctionDef(self, node: _Function) -> None:
        """Later: it runs after what is around it."""
        self._visit_all(
            [*node.decorator_list, *node.args.defaults, *filter(None, node.args.kw_defaults)]
        )
        self._later.append((node, self._body_of))

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Its constants; its functions later."""
        self._visit_all([*node.decorator_list, *node.bases])
        self._bases[node.name] = [_last(each) for each in node.bases]
        around, outer = self._names, self._body_of
        self._names, self._body_of = dict(around), node.name
        self._visit_all(node.body)
        inside, self._names, self._body_of = self._names, around, outer
        for name, fact in inside.items():
            if around.get(name) is not fact and "." not in name:
                self._members[node.name][name] = fact
                self._names[f"{node.name}.{name}"] = fact

    def visit_Lambda(self, node: ast.Lambda) -> None:
        """With its own names."""
        around = self._names
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        self._names = {**around, **{each.arg: _GIVEN for each in arguments}}
        self.visit(node.body)
        self._names = around

    def visit_Return(self, node: ast.Return) -> None:
        """Another thing that the function may stand for."""
        self.generic_visit(node)
        if self.function is not None:
            name = self.function.name
            inner = f"{self._class}.{name}" if self._class else name
            fact = self.fact(node.value) if node.value else _GIVEN
            known = self._returned.get(inner)
            self._returned[inner] = _either([fact] if known is None else [known, fact])

    def visit_Global(self, node: ast.Global) -> None:
        """Bound for the functions of the file."""
        self._globals |= set(node.names)

    def visit_Assign(self, node: ast.Assign) -> None:
        """What is assigned, and then to what."""
        self._visit_all([node.value, *node.targets])
        fact = self.fact(node.value)
        for target in node.targets:
            self._bind(target, fact, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Likewise; or declared only."""
        self._visit_all([node.target, *([node.value] if node.value else [])])
        fact = self.fact(node.value) if node.value else _UNKNOWN
        declared = self._of_annotation(node.annotation)
        self._bind(node.target, fact if fact.kinds - {"unknown", "given"} else declared, node.value)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        """Likewise."""
        self.visit(node.value)
        self._bind(node.target, self.fact(node.value), node.value)

    def visit_If(self, node: ast.If) -> None:
        """One or the other."""
        self.visit(node.test)
        self._branches(node.body, node.orelse)

    def visit_While(self, node: ast.While) -> None:
        """Some times, or never."""
        self.visit(node.test)
        self._branches(node.body, [])
        self._visit_all(node.orelse)

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        """Likewise."""
        self.visit(node.iter)
        self._bind_each(node.target, node.iter)
        self._branches(node.body, [])
        self._visit_all(node.orelse)

    visit_AsyncFor = visit_For

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        """A pipeline, for a while."""
        for item in node.items:
            self.visit(item.context_expr)
            if item.optional_vars is not None:
                self._bind(item.optional_vars, self.fact(item.context_expr))
        self._visit_all(node.body)

    visit_AsyncWith = visit_With

    def visit_Try(self, node: "ast.Try | ast.TryStar") -> None:
        """A handler may come after all of it, or after nothing."""
        before = dict(self._names)
        self._visit_all(node.body)
        failed = _together([before, self._names])
        self._visit_all(node.orelse)
        ends = [self._names]
        for handler in node.handlers:
            self._names = dict(failed)
            self.visit(handler)
            ends.append(self._names)
        self._names = _together(ends)
        self._visit_all(node.finalbody)

    visit_TryStar = visit_Try

    def visit_Match(self, node: ast.Match) -> None:
        """One of its cases, or none."""
        self.visit(node.subject)
        self._branches([], *(case.body for case in node.cases))

    def visit_ListComp(self, node: _Comprehension) -> None:
        """With its own names."""
        for each in node.generators:
            self.visit(each.iter)
        with self._within(node.generators):
            self._visit_all(each for one in node.generators for each in one.ifs)
            self._visit_all(
                [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
            )

    visit_SetComp = visit_ListComp
    visit_GeneratorExp = visit_ListComp
    visit_DictComp = visit_ListComp

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Without going deeper for each of a thousand summands."""
        left: ast.expr = node
        while isinstance(left, ast.BinOp):
            self.visit(left.right)
            left = left.left
        self.visit(left)

    def visit_Call(self, node: ast.Call) -> None:
        """What is in it comes first."""
        self.generic_visit(node)
        self.called(node)


def _imported(tree: ast.Module) -> dict[str, str]:
    """By each name of the file that an import binds: from where."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                name = each.asname or each.name.partition(".")[0]
                found[name] = each.name if each.asname else name
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found |= {each.asname or each.name: f"{module}.{each.name}" for each in node.names}
    return found


def _of_origin(origin: str) -> Fact:
    """What a thing is that came from there, or that a call of it makes."""
    root, last = origin.partition(".")[0], origin.rpartition(".")[2]
    if origin in ("workbench.state.connect", "workbench.state.connect_async"):
        return _CLIENT
    if last in _STATES:
        return _STATE
    if root in _REDIS:
        return _CLIENT if last in _CLIENTS else _UNKNOWN
    return _FOREIGN if root in _OTHER_CLIENTS or root in sys.stdlib_module_names else _UNKNOWN


def _of_constant(value: object) -> Fact:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    if isinstance(text, str):
        return _KEY if text.startswith(CHANNEL_PREFIX) else _TEXT
    return _GIVEN if value is None or value is ... else _FOREIGN


def _either(facts: Sequence[Fact]) -> Fact:
    """One of these, and it is not known which."""
    literals = {id(each.literal): each.literal for each in facts}
    kinds = frozenset[Kind]().union(*(each.kinds for each in facts))
    return Fact(kinds, next(iter(literals.values())) if len(literals) == 1 else None)


def _several(facts: Sequence[Fact]) -> Fact:
    """All of these in one."""
    if any(each.is_key for each in facts):
        return _KEYS
    return _TEXT if facts and all(each.is_other_text for each in facts) else _UNKNOWN


def _one_of(fact: Fact) -> Fact:
    """What a loop over it has in hand."""
    if "keys" in fact.kinds:
        return _fact("key", "keys")
    return _TEXT if fact.is_other_text else _UNKNOWN


def _together(ends: Sequence[_Facts]) -> _Facts:
    """What is known after branches."""
    first, *others = ends
    names = {name: None for end in ends for name in end}
    result = {}
    for name in names:
        fact = first.get(name, _UNBOUND)
        facts = [end.get(name, _UNBOUND) for end in others]
        same = all(each is fact for each in facts)
        result[name] = fact if same else _either([fact, *facts])
    return result


def _dotted(node: ast.AST) -> str:
    """``self.redis``; empty for what is not that simple."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _last(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _says_key(node: ast.expr) -> bool:
    names = [_last(each) for each in ast.walk(node)]
    return any(_KEY_LIKE.search(name) for name in names)
