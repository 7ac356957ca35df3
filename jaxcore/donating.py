"""Jitted functions that take the memory of arguments, and can say from whom and where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jaxcore import backend, errors
from jaxcore.jit import Jitted, is_deleted
from jaxcore.signature import Call, Settings, parameter_name
from jaxcore.source import current_source

__all__ = ["Donating"]


class Donating(Jitted):
    """A jitted function that takes the memory of arguments, and remembers from whom."""

    __slots__ = ("_first", "_last", "_takes")

    def __init__(self, fun: Callable[..., Any], settings: Settings) -> None:
        super().__init__(fun, settings)
        self._first: Any = None
        self._last: Any = None
        self._takes: bool | None = None  # whether what was donated was gone after the call
        errors.donors.add(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            result = self.dispatch(*args, **kwargs)
        except (backend.NonFinite, RuntimeError, ValueError) as error:
            self.refuse(error, args, kwargs)
            raise
        if self._takes and backend.at_top_level():
            settings = self._settings
            given = [args[n] for n in settings.donate_argnums if n < len(args)]
            named = kwargs and {n: kwargs[n] for n in settings.donate_argnames if n in kwargs}
            self._last = (given, named, current_source())
            if self._first is None:
                self._first = self._last
        return result

    def _cache_miss(self, *args: Any, **kwargs: Any) -> tuple[Any, Any, bool]:
        found = Jitted._cache_miss(self, *args, **kwargs)
        if self._takes is not False and backend.at_top_level():
            # Only what is gone may be remembered: anything else would be kept alive.
            call_ = Call(self.__wrapped__, self._settings, args, kwargs)
            given = [x for x, on in zip(call_.leaves, call_.donated, strict=True) if on]
            self._takes = all(is_deleted(x) for x in given)
        return found

    @property
    def donations(self) -> list[errors.Donation]:
        """The last and the first call that took arguments."""
        calls = [call for call in (self._last, self._first) if call is not None]
        numbers = self._settings.donate_argnums
        return [
            errors.Donation(
                {
                    **{
                        parameter_name(self.__wrapped__, n): x
                        for n, x in zip(numbers, given, strict=False)
                    },
                    **(named or {}),
                },
                source,
            )
            for given, named, source in calls
        ]
