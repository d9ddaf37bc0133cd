"""The command line as boost::program_options reads it, with its refusals word by word.

Long names may be shortened as long as they stay unique, a value may follow in the next word or after `=`, a short name
takes its value with or without a blank, and nothing may be given twice. Words that belong to no option are ignored, as
rpicam-vid never asks boost about them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from edge_agent.simulated.option_table import Kind, Option

_TRUE = frozenset({"true", "yes", "on", "1", ""})
_FALSE = frozenset({"false", "no", "off", "0"})


class Refused(Exception):
    """The program ends with exit code 255 and this message between `ERROR: ***` and `***`."""


def read_words(words: Sequence[str], options: Mapping[str, Option]) -> dict[str, str]:
    """The value of every option named in `words`, by long name and still as text. Raises Refused."""
    given: dict[str, str] = {}
    position = 0
    positional_only = False
    while position < len(words):
        word = words[position]
        position += 1
        if word == "--":
            positional_only = True
        option, value = (None, None) if positional_only else _recognise(word, options)
        if option is None:
            continue
        following = words[position] if position < len(words) else None
        if value is None and option.implicit is None:
            if following is None or _is_known(following, options):
                raise Refused(f"the required argument for option '--{option.name}' is missing")
            value = following
            position += 1
        elif value is None and following is not None and not _looks_like_option(following):
            value = following
            position += 1
        _store(given, option, option.implicit or "" if value is None else value, "--")
    return given


def read_config(lines: Iterable[str], options: Mapping[str, Option], given: dict[str, str]) -> None:
    """Add the `key=value` lines of a --config file to `given`; what is there already wins. Raises Refused."""
    added: dict[str, str] = {}
    for line in lines:
        text = line.partition("#")[0].strip()
        if not text:
            continue
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            raise Refused(f"the options configuration file contains an invalid line '{text}'")
        if key not in options:
            raise Refused(f"unrecognised option '{key}'")
        _store(added, options[key], value, "")
    for name, value in added.items():
        given.setdefault(name, value)


def check_type(option: Option, text: str) -> None:
    """Raise Refused if the text is no value of the option's kind."""
    try:
        if option.kind is Kind.UNSIGNED or option.kind is Kind.INTEGER:
            int(text)
        elif option.kind is Kind.FLOAT:
            float(text)
    except ValueError:
        raise Refused(f"the argument ('{text}') for option '--{option.name}' is invalid") from None
    if option.kind is Kind.FLAG and text.lower() not in _TRUE | _FALSE:
        choices = "Valid choices are 'on|off', 'yes|no', '1|0' and 'true|false'"
        raise Refused(f"the argument ('{text}') for option '--{option.name}' is invalid. {choices}")


def is_true(text: str) -> bool:
    return text.lower() in _TRUE


def _store(given: dict[str, str], option: Option, value: str, prefix: str) -> None:
    if option.name in given:
        raise Refused(f"option '{prefix}{option.name}' cannot be specified more than once")
    check_type(option, value)
    given[option.name] = value


def _recognise(word: str, options: Mapping[str, Option]) -> tuple[Option | None, str | None]:
    if word.startswith("--"):
        name, equals, value = word[2:].partition("=")
        option = _by_long_name(name, word, options)
        if equals and not value:
            follow = f"the argument for option '--{option.name}' should follow immediately after the equal sign"
            raise Refused(follow)
        return option, value if equals else None
    if _looks_like_option(word):
        for option in options.values():
            if option.short == word[1]:
                return option, word[2:] or None
        raise Refused(f"unrecognised option '{word}'")
    return None, None


def _by_long_name(name: str, word: str, options: Mapping[str, Option]) -> Option:
    if name in options:
        return options[name]
    candidates = [option for option in options.values() if option.name.startswith(name)]
    if not candidates:
        raise Refused(f"unrecognised option '{word}'")
    if len(candidates) > 1:
        names = [f"'--{option.name}'" for option in candidates]
        raise Refused(f"option '{word}' is ambiguous and matches {', '.join(names[:-1])}, and {names[-1]}")
    return candidates[0]


def _is_known(word: str, options: Mapping[str, Option]) -> bool:
    try:
        return _recognise(word, options)[0] is not None
    except Refused:
        return False


def _looks_like_option(word: str) -> bool:
    return len(word) > 1 and word.startswith("-")
