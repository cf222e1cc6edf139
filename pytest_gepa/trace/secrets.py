"""The forms in which secrets stand in text: the shapes of known kinds of keys, and names that a secret follows.

Each rule is tried only where its `literal` stands (in any case), by a pattern of bounded length: looking through a
text takes time linear in it. What is done with a finding is decided in `redact`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Rule:
    """A form of secret.

    `pattern` is matched where `literal`, in lower case, begins, or so many characters `before` that; the secret is its
    group of that name, or all of it.
    """

    literal: str
    pattern: str
    before: int = 0


class Rules:
    """Rules that are looked for together, in one pass over a text."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        literals = sorted({rule.literal for rule in rules})
        self._any = _any_of(literals)
        # Of several literals that begin at one place, the longest is found.
        self._rules = {literal: [rule for rule in rules if literal.startswith(rule.literal)] for literal in literals}

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Where the secrets in a text begin and end; findings may overlap and come in no order."""
        lowered = text.lower()
        if len(lowered) != len(text):  # a few letters become two: positions would be off
            lowered = "".join(small if len(small := sign.lower()) == 1 else sign for sign in text)
        search = _compiled(self._any, 0).search
        done: dict[Rule, int] = {}
        found = search(lowered)
        while found is not None:
            at = found.start()
            for rule in self._rules[found[0]]:
                start = at - rule.before
                if start >= done.get(rule, 0) and (secret := _compiled(rule.pattern).match(text, start)):
                    done[rule] = secret.end()
                    yield secret.span("secret" if "secret" in secret.re.groupindex else 0)
            found = search(lowered, at + 1)


def _any_of(words: Sequence[str]) -> str:
    """A pattern of any of some words, the longest that fits, as a tree: tried at every place, a list would be slow."""
    rest: dict[str, list[str]] = {}
    for word in words:
        if word:
            rest.setdefault(word[0], []).append(word[1:])
    branches = [re.escape(first) + _any_of(ends) for first, ends in rest.items()]
    tree = branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"
    return f"(?:{tree})?" if "" in words and branches else tree if branches else ""


@lru_cache(maxsize=512)
def _compiled(pattern: str, flags: int = re.IGNORECASE) -> re.Pattern[str]:
    # Only what a text gives reason to try: compiling all costs a child session more than its redaction.
    return re.compile(pattern, flags)


_ALONE = r"(?<![A-Za-z0-9])"
_DIGIT = r"(?=[\w-]{0,200}\d)"


def _prefixed(prefix: str, signs: str, least: int) -> Rule:
    """A key that begins with its issuer's mark, in just these letters."""
    return Rule(prefix.lower(), rf"{_ALONE}(?-i:{re.escape(prefix)}){signs}{{{least},4000}}")


_WORD, _ALNUM, _DASHED = r"[\w]", r"[A-Za-z0-9]", r"[\w-]"

_PREFIXED = tuple(
    _prefixed(prefix, signs, least)
    for prefix, signs, least in (
        *((f"gh{kind}_", _WORD, 16) for kind in "pousr"),
        ("github_pat_", _WORD, 16),
        *((f"gl{kind}-", _DASHED, 16) for kind in ("pat", "dt", "rt", "cbt", "ptt", "ft", "imt", "agent", "soat")),
        ("GR1348941", _DASHED, 16),
        *((f"xox{kind}-", _DASHED, 10) for kind in "abeoprs"),
        ("xapp-", _DASHED, 20),
        *((f"{kind}_{mode}_", _ALNUM, 10) for kind in ("sk", "rk", "pk") for mode in ("live", "test")),
        ("whsec_", r"[A-Za-z0-9+/=_-]", 16),
        ("hf_", _ALNUM, 20),
        ("api_org_", _ALNUM, 20),
        ("npm_", _ALNUM, 30),
        ("pypi-Ag", _DASHED, 30),
        ("r8_", _ALNUM, 20),
        ("gsk_", _ALNUM, 20),
        ("xai-", _ALNUM, 20),
        ("pplx-", _ALNUM, 20),
        ("csk-", _ALNUM, 20),
        ("pcsk_", _WORD, 20),
        ("tvly-", _DASHED, 16),
        ("lsv2_", _WORD, 20),
        ("lin_api_", _ALNUM, 20),
        ("figd_", _DASHED, 20),
        ("ntn_", _ALNUM, 30),
        ("dapi", r"[0-9a-f]", 32),
        *((f"{kind}_v1_", r"[0-9a-f]", 32) for kind in ("dop", "doo", "dor")),
        *((f"shp{kind}_", r"[0-9a-fA-F]", 24) for kind in ("at", "ca", "pa", "ss")),
        *((f"sq0{kind}-", _DASHED, 20) for kind in ("atp", "csp")),
        ("ATATT3", r"[\w=-]", 40),
        ("hvs.", _DASHED, 20),
        ("dp.pt.", _ALNUM, 30),
        ("AGE-SECRET-KEY-1", r"[0-9A-Z]", 40),
        ("NRAK-", r"[A-Z0-9]", 20),
        ("glsa_", _WORD, 20),
        ("glc_", r"[A-Za-z0-9+/=]", 30),
        ("dckr_pat_", _DASHED, 16),
        ("rubygems_", r"[0-9a-f]", 32),
        ("sbp_", r"[0-9a-f]", 32),
        ("sntrys_", r"[\w+/=-]", 30),
        ("AIza", _DASHED, 30),
        ("ya29.", r"[\w.-]", 20),
        ("GOCSPX-", _DASHED, 16),
        *((kind, r"[0-9A-Z]", 16) for kind in ("AKIA", "ASIA", "ABIA", "ACCA")),
    )
)

_SHAPES = (
    # OpenAI, Anthropic, OpenRouter, Langfuse and more.
    Rule("sk-", rf"{_ALONE}(?<!-)(?-i:sk-){_DIGIT}[\w-]{{10,4000}}"),
    Rule("sg.", rf"{_ALONE}(?-i:SG)\.[\w-]{{16,64}}\.[\w-]{{16,64}}"),
    Rule("eyj", rf"{_ALONE}(?-i:eyJ)[\w-]{{8,20000}}\.[\w-]{{8,20000}}\.[\w-]{{0,20000}}"),
    Rule(
        "akia",
        rf"{_ALONE}(?-i:AKIA)[0-9A-Z]{{16}}[\s,;:|\"']{{1,10}}(?P<secret>[A-Za-z0-9/+]{{40}})(?![A-Za-z0-9/+=])",
    ),
    Rule("jqqj99", rf"{_ALONE}[A-Za-z0-9]{{52}}(?-i:JQQJ99)[A-Za-z0-9]{{10,40}}", before=52),
    Rule("q~", r"(?-i:Q~)[\w.~-]{31,34}"),
    Rule("-us", rf"{_ALONE}[0-9a-f]{{32}}-us\d{{1,2}}\b", before=32),
    Rule("key-", rf"{_ALONE}(?-i:key-)[0-9a-f]{{32}}(?![0-9a-f])"),
    Rule(":aa", r"(?<=\d{8}):(?P<secret>(?-i:AA)[\w-]{33})(?![\w-])"),
    Rule("hooks.slack.com/", r"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<secret>[\w/-]{20,200})"),
    Rule("/api/webhooks/", r"/api/webhooks/(?P<secret>\d{10,25}/[\w-]{40,200})"),
    Rule(
        "-----begin",
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
        r"(?=\s?(?:\\+[nr]|[\r\n])(?:\\+[nr]|[\s\"'+>|E\\]){0,40}[A-Za-z0-9+/=-]{4}|\s{1,3}[A-Za-z0-9+/=]{20})"
        r"(?s:.{0,20000}?-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|.{0,20000})",
    ),
    # The password in scheme://user:password@host, and a token in the user's place.
    Rule("://", r"://[^\s/:@\"'<>]{0,200}:(?P<secret>[^\s/@\"'<>]{1,300})@"),
    Rule("://", r"://(?P<secret>[^\s/:@\"'<>]{20,300})@"),
    Rule("accountkey=", r"AccountKey=(?P<secret>[A-Za-z0-9+/]{20,200}={0,2})"),
    Rule("sharedaccesskey=", r"SharedAccessKey=(?P<secret>[A-Za-z0-9+/]{20,200}={0,2})"),
    Rule("sig=", r"(?<=[?&])sig=(?P<secret>[\w%+/-]{16,200}={0,2})"),
    Rule(
        "x-amz-",
        r"X-Amz-(?:Signature|Security-Token|Credential)[\"']?\s?[=:]\s?[\"']?(?P<secret>[^&\s\"',]{8,4000})",
    ),
    Rule("signature=", r"Signature=(?P<secret>[0-9a-f]{64})"),
    # Bearer tokens and basic credentials, as in headers.
    Rule(
        "bearer",
        rf"{_ALONE}bearer\s{{1,4}}(?P<secret>(?=[\w.~+/-]{{0,200}}\d|[\w.~+/-]{{24}})[\w.~+/-]{{8,20000}}={{0,3}})",
    ),
    Rule(
        "basic",
        rf"{_ALONE}basic\s{{1,4}}(?P<secret>(?-i:(?=[A-Za-z+/]{{0,200}}\d)(?=[a-z0-9+/]{{0,200}}[A-Z])(?=[A-Z0-9+/]{{0,200}}[a-z]))"
        r"[A-Za-z0-9+/]{8,4000}={0,2})(?![\w-])",
    ),
)

_EITHER_SID = tuple(Rule(kind.lower(), rf"{_ALONE}(?-i:{kind}[0-9a-f]{{32}})(?![0-9A-Za-z])") for kind in ("AC", "SK"))

# Between a name and its value: quotes that JSON inside of JSON escapes, a colon or an arrow; in a pair, a comma.
_QUOTE = r"\\{0,3}[\"']"
_TO = rf"(?:{_QUOTE})?[\])]?\s{{0,3}}(?:=>|[:=])\s{{0,3}}"
_PAIR = rf"(?:{_QUOTE}\s{{0,3}},\s{{0,3}}|{_TO})"

# Of what is not quoted, code and prose are let pass: a secret has a digit or a sign in it.
_BARE = r"[^\s&;,\"'<>(){}\[\]\\]"
_ODD = r"(?=[A-Za-z_.]{0,200}[^A-Za-z_.\s&;,\"'<>(){}\[\]\\])"


def _named(literal: str, name: str, least: int = 1, to: str = _TO) -> tuple[Rule, ...]:
    """The value that follows a name that tells of a secret: in quotes, bare, in XML, after a command line's option."""
    bare = rf"{_ODD}{_BARE}{{{max(least, 5)},400}}(?<![.:?])"
    forms = (
        rf"{name}{to}b?(?P<quote>[\"'])(?![\s)+,])(?P<secret>(?:\\.|(?!(?P=quote))[^\\\r\n]){{{least},4000}})",
        rf"{name}{to}\\{{1,3}}[\"'](?P<secret>[^\"'\\\r\n]{{{least},4000}})",
        rf"{name}(?:{_QUOTE})?\s?[=:]\s?(?P<secret>{bare})(?![(\[])",
        # As environments are printed.
        rf"(?={name})(?-i:(?<![a-z]){literal.upper()}S?\d{{0,2}}=(?!os\.)(?P<secret>[^\s\"'$<>]{{6,400}}))",
        rf"{name}>(?P<secret>[^<\s]{{{least},400}})<",
        rf"(?<=--){name}\s(?P<secret>{_ODD}[^\s-]\S{{3,400}})",
    )
    return tuple(Rule(literal, form) for form in forms)


def _spelled(*words: str) -> tuple[str, ...]:
    """A name of several words as programs spell it: snake_case, kebab-case, camelCase (in any case of letters)."""
    return tuple(sign.join(words) for sign in ("_", "-", ""))


def _to(literal: str) -> str:
    """What stands between a name and its value: of a name with dashes, which is one of a header, also a comma."""
    return _PAIR if "-" in literal else _TO


def _word(name: str) -> str:
    """A pattern for where a word begins: behind no letter, or with the capital of camelCase."""
    return rf"(?:(?<![A-Za-z])|(?-i:(?<=[a-z])(?={name[0].upper()}))){name}"


# Of base64, its signs too, as JSON and other JSON inside of it escape them.
_DRAWN = (
    r"(?=[\w.~+/=\\-]{0,200}\d)(?=[\d_.~+/=\\-]{0,200}[A-Za-z])(?![/~])"
    r"(?:[\w.~+/=-]|\\{1,3}(?:/|u00[0-9a-f]{2})){16,4000}"
)


_NAMED = (
    *(rule for word in ("password", "passwd", "passphrase") for rule in _named(word, rf"{word}s?\d{{0,2}}")),
    *_named("pwd", rf"{_word('pwd')}(?!\W{{1,4}}[/~.])", least=4),
    *(
        rule
        for word in (*_spelled("api", "key"), *_spelled("subscription", "key"))
        for rule in _named(word, word if "-" in word else rf"{word}s?", to=_to(word))
    ),
    *(
        rule
        for kind in ("access", "refresh", "auth", "session", "security")
        for word in _spelled(kind, "token")
        for rule in _named(word, word, to=_to(word))
    ),
    *_named("id_token", "id_token"),
    *(rule for word in ("id-token", "idtoken") for rule in _named(word, _word(word), to=_to(word))),
    *(
        rule
        for kind in ("access", "secret", "private", "signing")
        for word in _spelled(kind, "key")
        if word != "accesskey"
        for rule in _named(word, rf"{word}(?:[_-]?id)?", to=_to(word))
    ),
    # In HTML an access key is a letter, and Azure's have a form of their own.
    *_named("accesskey", r"(?<!shared)accesskey(?:[_-]?id)?", least=8),
    *(rule for kind in ("client", "webhook") for word in _spelled(kind, "secret") for rule in _named(word, word)),
    *_named("secret", rf"{_word('secret')}s?", least=8),
    # The word has other uses where models are at work: only what looks drawn by lot.
    Rule("token", rf"{_word('token')}{_TO}b?{_QUOTE}(?P<secret>{_DRAWN})"),
    Rule(
        "token",
        rf"{_word('token')}\s?[=:]\s?(?P<secret>(?=[\w%+/=-]{{0,200}}\d)(?=[\d_%+/=-]{{0,200}}[A-Za-z])"
        r"[\w-][\w%+/=-]{15,4000})",
    ),
    # Headers of authorization and cookies, in every way in which a program prints a header.
    Rule(
        "authorization",
        rf"authorization{_PAIR}b?(?:{_QUOTE})?(?:bearer|basic|token|digest|negotiate|api-?key)\s{{1,4}}(?P<secret>[^\s\"',;\\]{{1,20000}})",
    ),
    Rule(
        "authorization",
        rf"authorization{_PAIR}b?(?:{_QUOTE})?(?P<secret>{_DIGIT}[^\s\"',;\\]{{8,20000}})",
    ),
    Rule(
        "cookie",
        rf"cookie2?(?:{_PAIR}|\s)b?(?:{_QUOTE})?(?P<secret>[\w!#$%&*+.^`|~-]{{1,100}}=[^\s\"'\\][^\r\n\"'\\]{{0,8000}})",
    ),
    # A header that came several times, as a list of all its values.
    Rule("cookie", rf"cookie2?{_TO}(?P<secret>\[\s{{0,20}}b?{_QUOTE}[\w.-]{{1,100}}=[^\[\]]{{1,8000}}\])"),
    Rule(
        "authorization",
        rf"authorization{_TO}(?P<secret>\[\s{{0,20}}b?{_QUOTE}(?:bearer|basic|token|digest|negotiate|api-?key)\s[^\[\]]{{1,8000}}\])",
    ),
    Rule("cookies", r"cookies[\"']?\s?[=:]\s?(?P<secret>\{[^{}]{1,8000}\})"),
    # Python's own cookies, as `http.cookies` and `http.cookiejar` show them.
    Rule("simplecookie: ", r"SimpleCookie: (?P<secret>[^\s=>]{1,100}='[^>\r\n]{1,8000})"),
    Rule(
        "cookie(version=",
        r"Cookie\(version=[^)]{1,300}?, value=(?P<quote>[\"'])(?P<secret>[^\"'\r\n]{1,4000})",
    ),
    Rule("auth=", rf"auth=[(\[]{_QUOTE}[^\"']{{0,200}}{_QUOTE},\s?{_QUOTE}(?P<secret>[^\"'\\]{{1,400}})"),
)

_CERTAIN = (*_PREFIXED, *_SHAPES, *_EITHER_SID)
CERTAIN = Rules(_CERTAIN)
"""Shapes that nothing else has."""
ALL = Rules((*_CERTAIN, *_NAMED))
"""These, and what stands after a name that tells of a secret: it may be any text."""
