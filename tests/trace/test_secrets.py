from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_gepa.trace.redact import Redactor
from pytest_gepa.trace.secrets import ALL, Rule, Rules

DIGITS, HEX, MIXED = "0123456789", "0123456789abcdef", "Ab3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0fG" * 8
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.SflKxwRJSMeKKF2QT4"
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nxyz/+=\n-----END PRIVATE KEY-----"

# Kinds of secrets, each as (what it is, text before, secret, text after).
KEYS = {
    "OpenAI": "sk-proj-" + MIXED[:48],
    "OpenAI, old": "sk-" + MIXED[:48],
    "OpenAI service account": "sk-svcacct-" + MIXED[:40],
    "Anthropic": "sk-ant-api03-" + MIXED[:90] + "-AA",
    "OpenRouter": "sk-or-v1-" + HEX * 4,
    "AWS access key": "AKIAIOSFODNN7EXAMPLE",
    "AWS temporary access key": "ASIAIOSFODNN7EXAMPLE",
    "Google": "AIza" + MIXED[:35],
    "Google OAuth": "ya29." + MIXED[:60],
    "Google client": "GOCSPX-" + MIXED[:28],
    "Azure OpenAI": MIXED[:52] + "JQQJ99" + MIXED[:22],
    "GitHub": "ghp_" + MIXED[:36],
    "GitHub app": "ghs_" + MIXED[:36],
    "GitHub, fine": "github_pat_" + MIXED[:22] + "_" + MIXED[:59],
    "GitLab": "glpat-" + MIXED[:20],
    "Slack bot": "xoxb-123456789012-123456789012-" + MIXED[:24],
    "Slack app": "xapp-1-A012345-6789-" + HEX * 4,
    "Stripe": "sk_live_" + MIXED[:24],
    "Stripe, restricted": "rk_test_" + MIXED[:24],
    "Stripe webhook": "whsec_" + MIXED[:32],
    "Twilio": "SK" + HEX * 2,
    "Twilio account": "AC" + HEX * 2,
    "SendGrid": "SG." + MIXED[:22] + "." + MIXED[:43],
    "Mailgun": "key-" + HEX * 2,
    "Hugging Face": "hf_" + MIXED[:34],
    "npm": "npm_" + MIXED[:36],
    "PyPI": "pypi-AgEIcHlwaS5vcmc" + MIXED[:100],
    "Groq": "gsk_" + MIXED[:52],
    "xAI": "xai-" + MIXED[:80],
    "Replicate": "r8_" + MIXED[:37],
    "Pinecone": "pcsk_" + MIXED[:60],
    "LangSmith": "lsv2_pt_" + HEX * 2,
    "Databricks": "dapi" + HEX * 2,
    "DigitalOcean": "dop_v1_" + HEX * 4,
    "Shopify": "shpat_" + HEX * 2,
    "Telegram": "AA" + MIXED[:33],
    "JWT": JWT,
    "PEM": PEM,
}
BEFORE = {"Telegram": "12345678:", "Azure OpenAI": ""}


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize(
    "around", ["{}", "it is {} or so", '{{"x": "{}"}}', "a={}&b=c", "E   - {}\nE   + x", "'{}',", "`{}`."]
)
def test_keys_of_known_issuers_are_found_in_any_text(kind: str, around: str) -> None:
    text = around.format(BEFORE.get(kind, "") + KEYS[kind])
    found = Redactor({}).redact_certain(text)

    assert KEYS[kind][-12:] not in found
    assert found.count("[redacted]") == 1
    assert found.startswith(around.partition("{}")[0].replace("{{", "{"))


CREDENTIALS = [
    ("Authorization: Bearer ", "abc"),
    ("authorization: basic ", "dXNlcjpwYXNz"),
    ("Proxy-Authorization: Basic ", "dXNlcjpwYXNz"),
    ("Authorization: ApiKey ", "abc"),
    ("Authorization: ", "0f8fad5bd9cb469f"),
    ("{'Authorization': 'Bearer ", "abc"),
    ('{"authorization": "Basic ', "dXNlcjpwYXNz"),
    ('{\\"authorization\\": \\"Bearer ', "abc"),
    ("[('authorization', 'Bearer ", "abc"),
    ("[(b'Authorization', b'Basic ", "dXNlcjpwYXNz"),
    ("curl -H 'Authorization: token ", "abc123"),
    ("sent with bearer ", "abcdef12345"),
    ("sent with Basic ", "dXNlcjpwYXNzd29yZDE="),
    ("requests.get(url, auth=('user', '", "swordfish"),
    ("Cookie: ", "sid=31d4d96e407aad42; theme=dark"),
    ("cookie: ", "a=b"),
    ("Set-Cookie: ", "sid=31d4d96e407aad42; Path=/; HttpOnly"),
    ("{'set-cookie': '", "sid=31d4d96e407aad42; Path=/"),
    ('"Cookie": "', "sid=31d4d96e407aad42"),
    ("[(b'cookie', b'", "sid=31d4d96e407aad42"),
    ("<Cookie ", "sid=31d4d96e407aad42 for example.org /"),
    ("get(url, cookies=", "{'sid': '31d4d96e'}"),
    ('{"set-cookie": ', '["sid=31d4d96e; Path=/", "theme=31d4d96f"]'),
    ('{"Cookie":', '[\n        "sid=31d4d96e"\n    ]'),
    ("{'Authorization': ", "['Bearer swordfish']"),
    ("<SimpleCookie: ", "sid='31d4d96e' theme='31d4d96f'"),
    ("[Cookie(version=0, name='sid', value='", "31d4d96e"),
    ("postgres://app:", "s3cr#t"),
    ("https://user:", "p4ss"),
    ("redis://:", "swordfish"),
    ("git clone https://", "0f8fad5bd9cb469fa165"),
    ("https://hooks.slack.com/services/", "T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"),
    ("https://discord.com/api/webhooks/", "123456789012345678/" + MIXED[:68]),
    ("AccountName=a;AccountKey=", MIXED[:86] + "=="),
    ("Endpoint=sb://a/;SharedAccessKeyName=k;SharedAccessKey=", MIXED[:43] + "="),
    ("https://a.blob.core.windows.net/c?sv=2020&sig=", "aB3%2Fcd9eFgHiJkLmNoP%3D"),
    ("https://s3.amazonaws.com/b?X-Amz-Signature=", HEX * 4),
    ("AWS4-HMAC-SHA256 Credential=x, Signature=", HEX * 4),
    ("AWS_SECRET_ACCESS_KEY=", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ("aws_secret_access_key = ", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ("'secret_access_key': '", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ("password=", "hunter2"),
    ("password: ", "hunter2!"),
    ("password = '", "correct horse"),
    ('"password": "', 'pa\\"ss'),
    ('"password": "', "it's mine"),
    ("DB_PASSWORD=", "correcthorse"),
    ("DB_PASSWORD=", "a,b;c(d"),
    ("--password ", "hunter2"),
    ("--api-key ", "abc123"),
    ("<password>", "hunter2"),
    ("Server=db;User Id=sa;Pwd=", "hunter2"),
    ("passphrase: '", "open sesame"),
    ("api_key='", "abc"),
    ("x-api-key: ", "0f8fad5b"),
    ("{'api-key': '", "0f8fad5b"),
    ("('api-key', '", "0f8fad5b"),
    ("Ocp-Apim-Subscription-Key: ", "0f8fad5bd9cb469f"),
    ('"access_token": "', "abc"),
    ('\\"refresh_token\\": \\"', "abc"),
    ('"client_secret": "', "abc"),
    ('"private_key_id": "', HEX * 2),
    ('"private_key": "', PEM.replace("\n", "\\n")),
    ("secret: '", "abcdefgh"),
    ("token=", "a1b2c3d4e5f6a7b8c9d0"),
    ('"token": "', "a1b2c3d4e5f6a7b8c9d0"),
    ('"AccessKeyId":"', "OIDAIOSFODNN7EXAMPLE"),
    ('"SecretAccessKey":"', "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    ('"SessionToken":"', "FwoGZXIvYXdzE//abc+def1=="),
    ("ReadOnlyCredentials(token='", "FwoGZXIvYXdzEBYaD2/abc+def1=="),
    ('"token":"', "a1b2c3d4e5f6a7b8\\/c9d0\\u002Bx="),
    ('\\"token\\": \\"', "a1b2c3d4e5f6a7b8/c9d0+x="),
    ("?token=", "a1b2c3d4e5f6a7b8%2Fc9d0"),
    ('"accessToken": "', "abc"),
    ("accessToken=", "a1b2c3"),
    ("access-token: ", "a1b2c3"),
    ("<AccessToken>", "abc"),
    ('"refreshToken": "', "abc"),
    ("refreshToken: '", "abc"),
    ("authToken = '", "abc"),
    ('"idToken": "', "abc"),
    ('"userIdToken": "', "abc"),
    ('"apiToken": "', "a1b2c3d4e5f6a7b8c9d0"),
    ('"clientSecret": "', "abc"),
    ("--client-secret ", "abc123"),
    ('"webhookSecret": "', "abc"),
    ('"appSecret": "', "abcdefgh"),
    ('"privateKey": "', "abc"),
    ('"privateKeyId": "', "abc"),
    ('"secretKey": "', "abc"),
    ('"dbPassword": "', "abc"),
    ('"dbPwd": "', "abcd"),
    ('"apiKey": "', "abc"),
    ('"subscriptionKey": "', "abc"),
]


@pytest.mark.parametrize(("before", "secret"), CREDENTIALS)
def test_what_follows_the_name_of_a_secret_goes_and_the_name_stays(before: str, secret: str) -> None:
    after = {"'": "'", '"': '"', ">": f"</{before[1:]}", "@": "@"}
    closing = after.get(before[-1], "")
    if "://" in before and "/services" not in before and "?" not in before and "webhooks" not in before:
        closing = "@example.org/x"
    if before.endswith('\\"'):
        closing = '\\"'

    assert Redactor({}).redact(before + secret + closing) == f"{before}[redacted]{closing}"


def test_both_halves_of_a_key_of_aws_are_found_side_by_side() -> None:
    text = "AKIAIOSFODNN7EXAMPLE wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY."

    assert Redactor({}).redact_certain(text) == "[redacted] [redacted]."


def test_a_private_key_is_found_with_the_margin_of_a_failing_assert() -> None:
    text = "E   + " + PEM.replace("\n", "\nE   + ") + "\nE   that was it"

    assert Redactor({}).redact(text) == "E   + [redacted]\nE   that was it"


@pytest.mark.parametrize(
    "text",
    [
        "the bearer of good news, a basic understanding",
        "ask-me-anything-2024-edition",
        "sk-learn",
        "-----BEGIN CERTIFICATE-----",
        "Never print a -----BEGIN PRIVATE KEY----- line.",
        "eyJust a word",
        '{"tokens": 12, "max_tokens": 500, "token": "Paris", "logprob": -0.1}',
        '{"maxTokens": "1024", "totalTokens": 12, "tokenCount": "7", "token": "the", "topToken": " the"}',
        '{"inputTokens": "25", "cacheReadInputTokens": "1", "max_token": "4096", "stopToken": "<|im_end|>"}',
        '{"tokenType": "Bearer", "tokenizer": "cl100k_base-of-2024", "keyId": "alias/one"}',
        '<a accesskey="s" href="#">the secret key, an access token: what is it?</a>',
        "raise InvalidToken('try again'); invalidToken: 'try again'",
        "const accessToken = await getToken(user)",
        "password = getpass()",
        "login(user, password=password)",
        'password=os.environ["DB_PASSWORD"]',
        "password: your password must be long",
        "the password, please",
        "token = tokens[index]",
        "key=value; author: somebody, authorization: the process of letting in",
        "http://localhost:8080/a@b and user@example.org and https://example.org:443/x",
        "cookies are baked, a cookie: sweet",
        "the cookie: [oats, honey], authorization: [by whom it may concern]",
        'authorization = ["read", "write"], cookie = ["plain", "chocolate"]',
        "def seek(self, cookie, whence=0):",
        'KEYS = ("password", "token", "secret")',
        "PWD=/home/somebody",
        "secretary: Jane",
        "ACCOUNT ACCESS SKILLS SKY",
        "0123456789abcdef0123456789abcdef",
        "https://example.org/?signature=none&key=1",
        "key-value pairs; turkey-us is no key",
        "",
    ],
)
def test_ordinary_text_is_left_as_the_same_object(text: str) -> None:
    assert Redactor({}).redact(text) is text


def test_places_are_right_behind_letters_that_become_two() -> None:
    assert Redactor({}).redact("İİİ password=hunter2 end") == "İİİ password=[redacted] end"


@given(
    st.lists(st.text(alphabet="abc", max_size=3), min_size=1, max_size=12),
    st.text(alphabet="abcd", max_size=60),
)
def test_rules_are_tried_wherever_their_literal_stands(literals: list[str], text: str) -> None:
    literals = [literal for literal in literals if literal] or ["a"]
    rules = Rules([Rule(literal, literal) for literal in literals])
    expected = {
        (at, at + len(literal)) for literal in literals for at in range(len(text)) if text.startswith(literal, at)
    }
    found = set(rules.find(text))

    # Of findings of one rule that overlap, the first is told.
    assert found <= expected
    assert {at for span in expected for at in range(*span)} == {at for span in found for at in range(*span)} or any(
        literal[1:].startswith(literal[:1]) for literal in literals
    )


def test_the_rules_compile() -> None:
    dense = " ".join(sorted(ALL._rules))

    assert isinstance(Redactor({}).redact(dense), str)
