"""Count the moves between modules that one value makes on its way through the package.

    python tools/measure_walk.py
    python tools/measure_walk.py wxr_plugin/cli/restore_run.py:run:args --list

The default is a photo through `wxr restore`. The value and all that is computed from it are
followed into every function of the package that a call passes them to, in the order of the source:
arguments before the call that takes them, all branches one after the other, each function once. A
function that is passed on, such as to a thread, counts as called; errors that are raised are left
out. A move is a step from a function to the next one in another module. In the first count a module
is a folder at the package root, as on the floors of docs/architecture.md, or a file there; in the
second count it is a file. Nothing is run: methods are found by the annotations of values, and a
call of anything without one is not followed. `--by-name` leaves out methods altogether.
"""

import argparse
import ast
from collections.abc import Iterator
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGE = "wxr_plugin"
DEFAULT = f"{PACKAGE}/cli/restore_run.py:run:args"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Definition(NamedTuple):
    """A function or class of the package.

    Attributes:
        module: the module with its code.
        node: its definition.
        owner: class that a method belongs to; None for functions and classes.
    """

    module: "Module"
    node: ast.FunctionDef | ast.ClassDef
    owner: "Definition | None" = None

    @property
    def is_class(self) -> bool:
        """Whether it is a class."""
        return isinstance(self.node, ast.ClassDef)

    def member(self, name: str) -> "Definition | None":
        """Return the method `name` of a class or of its bases."""
        for node in self.node.body:
            if isinstance(node, FUNCTIONS) and node.name == name:
                return Definition(self.module, node, self)
        bases = [self.module.resolve(base) for base in self.node.bases]
        methods = [base.member(name) for base in bases if base and base.is_class]
        return next(filter(None, methods), None)

    def attribute_type(self, name: str) -> "Definition | None":
        """Return the class of an attribute: of a field, a property, or one set from a parameter."""
        for node in ast.walk(self.node):
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.target).endswith(name):
                return self.module.class_of(node.annotation)
        method = self.member(name)
        if method:
            return method.result
        constructor = self.member("__init__")
        return constructor and constructor.parameter_type(name)

    def parameter_type(self, name: str) -> "Definition | None":
        """Return the class in the annotation of a function's parameter."""
        annotations = {argument.arg: argument.annotation for argument in self.parameters}
        return self.module.class_of(annotations.get(name))

    @property
    def result(self) -> "Definition | None":
        """The class that a function returns, or that a class makes."""
        return self if self.is_class else self.module.class_of(self.node.returns)

    @property
    def parameters(self) -> list[ast.arg]:
        """Parameters of a function that take one value."""
        arguments = self.node.args
        return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]


class Module:
    """Names of one file of the package.

    Args:
        path: a Python file below the root.
    """

    def __init__(self, path: Path):
        self.path = path
        self.tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))

    @property
    def folder(self) -> str:
        """The folder or file at the package root in which the module lies."""
        return self.path.parts[1]

    @cached_property
    def imports(self) -> dict[str, tuple[str, str]]:
        """Map each imported name to its module and its name there, also inside functions."""
        nodes = [node for node in ast.walk(self.tree) if isinstance(node, ast.ImportFrom)]
        names = [(node.module or "", alias) for node in nodes for alias in node.names]
        return {alias.asname or alias.name: (module, alias.name) for module, alias in names}

    def find(self, name: str) -> "Definition | Module | None":
        """Return the function, class or module of the package that `name` means here."""
        for node in self.tree.body:
            if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and node.name == name:
                return Definition(self, node)
        module, original = self.imports.get(name, ("", ""))
        inner = module_named(f"{module}.{original}")
        outer = module_named(module)
        return inner or (outer.find(original) if outer and outer is not self else None)

    def resolve(self, expression: ast.expr) -> Definition | None:
        """Return the function or class that a name, or a name of a module, means here."""
        if isinstance(expression, ast.Attribute) and isinstance(expression.value, ast.Name):
            module = self.find(expression.value.id)
            entry = module.find(expression.attr) if isinstance(module, Module) else None
        else:
            entry = self.find(expression.id) if isinstance(expression, ast.Name) else None
        return entry if isinstance(entry, Definition) else None

    def class_of(self, annotation: ast.expr | None) -> Definition | None:
        """Return the first class of the package in an annotation such as `"Guide | None"`."""
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            annotation = ast.parse(annotation.value, mode="eval").body
        if isinstance(annotation, ast.BinOp):
            return self.class_of(annotation.left) or self.class_of(annotation.right)
        entry = self.resolve(annotation) if annotation else None
        return entry if entry and entry.is_class else None


@cache
def module_named(name: str) -> Module | None:
    """Return the module of the package with a dotted `name`; None for any other name."""
    path = Path(*name.split("."))
    files = [path.with_suffix(".py"), path / "__init__.py"] if name.startswith(PACKAGE) else []
    return next((Module(file) for file in files if (ROOT / file).is_file()), None)


class Walk(ast.NodeVisitor):
    """The functions that a value enters, in order.

    Args:
        start: the function in which the walk begins.
        parameter: its parameter that is followed.
        by_name: follow functions only, no methods or classes.

    Attributes:
        stays: every function that was entered.
    """

    def __init__(self, start: Definition, parameter: str, by_name: bool = False):
        self.by_name = by_name
        self.stays: list[Definition] = []
        self._entered: set[int] = set()
        self._enter(start, {parameter})

    def _enter(self, function: Definition, followed: set[str]) -> None:
        """Note a stay, and the first time follow the parameters `followed` through the body."""
        self.stays.append(function)
        if id(function.node) in self._entered:
            return
        self._entered.add(id(function.node))
        outer = self.__dict__.copy()
        self.function, self.followed = function, followed
        self.held: dict[str, list[Definition | None]] = {}
        self.types = {item.arg: function.parameter_type(item.arg) for item in function.parameters}
        if function.owner and function.parameters:
            self.types[function.parameters[0].arg] = function.owner
        for statement in function.node.body:
            self.visit(statement)
        self.__dict__.update(outer)

    def visit_Call(self, node: ast.Call) -> None:
        """Enter the function that is called, or passed on, with a followed value."""
        self.generic_visit(node)
        if not self._is_followed(node):
            return
        values = [*node.args, *(keyword.value for keyword in node.keywords)]
        passed_on = [self.function.module.resolve(value) for value in values]
        for callee in [*self._callees(node.func), *passed_on]:
            if callee and callee.is_class:
                callee = callee.member("__init__")
            if callee and not (self.by_name and callee.owner):
                self._enter(callee, set(self._names_passed(node, callee)))

    def _callees(self, function: ast.expr) -> list[Definition | None]:
        """Return what is called; of a name that holds one of two functions, both."""
        if isinstance(function, ast.Name) and function.id in self.held:
            return self.held[function.id]
        return [self._callee(function)]

    def _names_passed(self, node: ast.Call, callee: Definition) -> Iterator[str]:
        """Yield the parameters of `callee` that get a followed value."""
        names = [argument.arg for argument in callee.parameters]
        if callee.owner and names:
            # A method's object holds the followed values that it was made from.
            yield names.pop(0)
        for name, value in zip(names, node.args, strict=False):
            if self._is_followed(value):
                yield name
        yield from (
            item.arg for item in node.keywords if item.arg and self._is_followed(item.value)
        )

    def _callee(self, function: ast.expr) -> Definition | None:
        """Return what is called: a name, a name of a module, or a method of a typed value."""
        entry = self.function.module.resolve(function)
        if isinstance(function, ast.Attribute) and entry is None:
            holder = self._type(function.value)
            entry = holder and holder.member(function.attr)
        return self.types.get("cls") if ast.unparse(function) == "cls" else entry

    def _type(self, value: ast.expr) -> Definition | None:
        """Return the class of a value, where annotations say it."""
        if isinstance(value, ast.Name):
            return self.types.get(value.id) or self.function.module.resolve(value)
        if isinstance(value, ast.Call):
            callee = self._callee(value.func)
            return callee and callee.result
        holder = self._type(value.value) if isinstance(value, ast.Attribute) else None
        return holder and holder.attribute_type(value.attr)

    def _is_followed(self, value: ast.AST) -> bool:
        names = {node.id for node in ast.walk(value) if isinstance(node, ast.Name)}
        return bool(names & self.followed)

    def _bind(self, target: ast.expr, value: ast.expr) -> None:
        """Follow the names of `target` if `value` is followed."""
        if self._is_followed(value):
            self.followed |= {node.id for node in ast.walk(target) if isinstance(node, ast.Name)}
        if isinstance(target, ast.Name):
            self.types[target.id] = self._type(value)
        if isinstance(target, ast.Name) and isinstance(value, ast.IfExp):
            self.held[target.id] = [self._callee(value.body), self._callee(value.orelse)]

    def visit_Raise(self, node: ast.Raise) -> None:
        """Leave out errors: the walk ends with them."""

    def visit_Assign(self, node: ast.Assign) -> None:
        """Follow an assigned value."""
        self.generic_visit(node)
        for target in node.targets:
            self._bind(target, node.value)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        """Follow a value that is named inside an expression."""
        self.generic_visit(node)
        self._bind(node.target, node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """Follow a value that is added to another."""
        self.generic_visit(node)
        self._bind(node.target, node.value)

    def visit_For(self, node: ast.For) -> None:
        """Follow the items of a followed value."""
        self._bind(node.target, node.iter)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        """Follow the items of a followed value in a comprehension."""
        self._bind(node.target, node.iter)
        self.generic_visit(node)

    def visit_withitem(self, node: ast.withitem) -> None:
        """Follow the value of a `with`."""
        self.generic_visit(node)
        if node.optional_vars:
            self._bind(node.optional_vars, node.context_expr)


def moves(places: list[str]) -> int:
    """Return how often a place differs from the one before it."""
    return sum(before != after for before, after in pairwise(places))


def main() -> None:
    """Print the counts, and with --list every stay."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("start", nargs="?", default=DEFAULT, help=f"default: {DEFAULT}")
    parser.add_argument("--by-name", action="store_true", help="follow no methods")
    parser.add_argument("--list", action="store_true", help="print the functions, in order")
    args = parser.parse_args()
    path, name, parameter = args.start.split(":")
    module = module_named(".".join(Path(path).with_suffix("").parts))
    stays = Walk(module.find(name), parameter, args.by_name).stays
    folders = [stay.module.folder for stay in stays]
    files = [str(stay.module.path) for stay in stays]
    for file, stay in zip(files if args.list else (), stays, strict=False):
        print(f"{file}: {stay.owner.node.name + '.' if stay.owner else ''}{stay.node.name}")
    print(f"{len(stays)} calls, {moves(folders)} moves between {len(set(folders))} modules")
    print(f"{moves(files)} moves between {len(set(files))} files")


if __name__ == "__main__":
    main()
