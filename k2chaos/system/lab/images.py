"""Building what is missing of the lab's images, and removing what has been replaced."""

import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from typing import Final, TypeVar

import platformdirs
from rich.console import Console

from k2chaos.errors import LabError
from k2chaos.system.lab.base_image import ensure_base
from k2chaos.system.lab.clone import Stack
from k2chaos.system.lab.docker_api import LabEngine
from k2chaos.system.lab.jars import jar_cache
from k2chaos.system.lab.progress import Task, Tasks, tasks
from k2chaos.system.lab.recipes import (
    PREFIX,
    Recipe,
    read_recipes,
    tags,
    to_build,
    write_context,
)
from k2chaos.system.lab.trust import build_arguments, build_network, ca_bundle

_PARALLEL: Final = 2
_BUILD_STAGE: Final = "k2-lab.stage=build"
_T = TypeVar("_T")


def image_tags(stack: Stack) -> dict[str, str]:
    """Return the tags that the files of *stack* stand for, built or not."""
    return tags(read_recipes(stack))


def ensure_images(console: Console, stack: Stack, engine: LabEngine) -> dict[str, str]:
    """
    Build every image of the lab that the engine does not have; return the tags of all.

    Raises:
        LabError: One could not be built; carries the last lines of the build's log.
    """
    recipes = read_recipes(stack)
    named = tags(recipes)
    order = to_build(recipes, [name for name, tag in named.items() if not engine.has_image(tag)])
    if order:
        with tasks(console) as shown:
            for parent in dict.fromkeys(recipes[name].parent for name in order):
                if parent not in recipes:
                    ensure_base(engine, shown, parent)
            _Build(engine, shown, recipes, named).run(order)
        engine.prune_stages(_BUILD_STAGE)
    return named


def prune_images(engine: LabEngine, keep: Mapping[str, str]) -> tuple[str, ...]:
    """Remove our tags that are neither in *keep* nor used by a container; return what went."""
    used = engine.used_images() | frozenset(keep.values())
    stale = [tag for tag in engine.tags(PREFIX) if tag not in used]
    return tuple(tag for tag in stale if engine.remove_image(tag))


class _Build:
    """
    One round of building, two images at a time.

    Images are submitted parents first and the pool serves them in that order: whoever waits for
    its parent waits for one that has begun.
    """

    def __init__(
        self,
        engine: LabEngine,
        shown: Tasks,
        recipes: Mapping[str, Recipe],
        named: Mapping[str, str],
    ) -> None:
        self._engine = engine
        self._shown = shown
        self._recipes = recipes
        self._tags = named
        self._stopped = threading.Event()
        self._built: dict[str, Future[None]] = {}
        self._jars: dict[str, Future[tuple[Path, ...]]] = {}

    def run(self, order: tuple[str, ...]) -> None:
        with ExitStack() as stack:
            builders = stack.enter_context(ThreadPoolExecutor(max_workers=_PARALLEL))
            fetcher = stack.enter_context(ThreadPoolExecutor(max_workers=1))
            self._prefetch(fetcher, order)
            for name in order:
                self._built[name] = builders.submit(self._one, name)
            try:
                # As they end: the first to fail is the one to tell about.
                for future in as_completed(self._built.values()):
                    future.result()
            except BaseException:
                self._stopped.set()
                fetcher.shutdown(wait=False, cancel_futures=True)
                builders.shutdown(wait=False, cancel_futures=True)
                raise

    def _prefetch(self, fetcher: ThreadPoolExecutor, order: tuple[str, ...]) -> None:
        wanting = [self._recipes[name] for name in order if self._recipes[name].jars]
        if not wanting:
            return
        cache = jar_cache()
        task = self._shown.task("jars")
        for recipe in wanting:
            self._jars[recipe.name] = fetcher.submit(
                cache.fetch, recipe.jars, task.expect, self._unless_stopped(task.advance)
            )
        fetcher.submit(self._fetched, task)

    def _fetched(self, task: Task) -> None:
        # The fetcher has one worker and takes turns: all sets have ended by now.
        if all(future.exception() is None for future in self._jars.values()):
            task.done()

    def _one(self, name: str) -> None:
        recipe = self._recipes[name]
        if recipe.parent in self._built:
            self._built[recipe.parent].result()
        jars = self._jars[name].result() if name in self._jars else ()
        task = self._shown.task(name)
        say = self._unless_stopped(task.say)
        arguments = build_arguments()
        parent = self._tags.get(recipe.parent, recipe.parent)
        cache = platformdirs.user_cache_path("k2chaos", ensure_exists=True)
        try:
            with tempfile.TemporaryFile(dir=cache) as context:
                write_context(recipe, jars, {"ca-bundle.crt": ca_bundle()}, context)
                context.seek(0)
                for line in self._engine.build(
                    context,
                    self._tags[name],
                    {**arguments, "PARENT": parent},
                    build_network(arguments),
                ):
                    say(line)
        except OSError as error:
            message = f"build {name}: {error}"
            raise LabError(message) from error
        task.done(self._tags[name])

    def _unless_stopped(self, tell: Callable[[_T], None]) -> Callable[[_T], None]:
        """Make a step that reports its progress end when another one has failed."""

        def tell_or_stop(what: _T) -> None:
            if self._stopped.is_set():
                message = "stopped, because another step has failed or was interrupted"
                raise LabError(message)
            tell(what)

        return tell_or_stop
