"""Which proxy of the environment an address is requested through, and that its password is masked."""

from __future__ import annotations

import pytest

from rsq_pipe.connectors.http.proxies import WrongProxyError, proxy_of, through
from rsq_pipe.redaction import redact


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_without_a_proxy_in_the_environment_nothing_is_added() -> None:
    assert through("https://api.example.org/x") == {}


@pytest.mark.parametrize(
    ("names", "url", "proxy"),
    [
        ({"HTTPS_PROXY": "http://p:3128"}, "https://a.org/", "http://p:3128"),
        ({"HTTPS_PROXY": "http://p:3128"}, "http://a.org/", ""),
        ({"HTTP_PROXY": "p:3128"}, "http://a.org/", "http://p:3128"),
        ({"HTTPS_PROXY": "http://upper", "https_proxy": "http://lower"}, "https://a.org/", "http://lower"),
        ({"ALL_PROXY": "https://p:3129"}, "http://a.org/", "https://p:3129"),
        ({"HTTPS_PROXY": ""}, "https://a.org/", ""),
    ],
)
def test_the_proxy_is_that_of_the_scheme(
    monkeypatch: pytest.MonkeyPatch, names: dict[str, str], url: str, proxy: str
) -> None:
    for name, value in names.items():
        monkeypatch.setenv(name, value)

    assert proxy_of(url) == proxy


@pytest.mark.parametrize(
    ("listed", "url", "direct"),
    [
        ("a.org", "https://a.org/", True),
        ("A.org", "https://a.ORG/", True),
        ("a.org", "https://x.a.org/", True),
        (".a.org", "https://x.a.org/", True),
        ("*.a.org", "https://x.a.org/", True),
        ("a.org", "https://ba.org/", False),
        ("b.org, a.org", "https://a.org/", True),
        ("a.org:8443", "https://a.org:8443/", True),
        ("a.org:8443", "https://a.org/", False),
        ("a.org:443", "https://a.org/", True),
        ("*", "https://a.org/", True),
        ("localhost,127.0.0.1,::1", "https://localhost:9/", True),
        ("localhost,127.0.0.1,::1", "https://127.0.0.1:9/", True),
        ("localhost,127.0.0.1,::1", "https://[::1]:9/", True),
        ("10.0.0.0/8", "https://10.7.1.2/", True),
        ("10.0.0.0/8", "https://11.7.1.2/", False),
        ("10.0.0.0/8,,", "https://a.org/", False),
    ],
)
def test_no_proxy_names_hosts_domains_ports_and_networks(
    monkeypatch: pytest.MonkeyPatch, listed: str, url: str, direct: bool
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://p:3128")
    monkeypatch.setenv("NO_PROXY", listed)

    assert proxy_of(url) == ("" if direct else "http://p:3128")


def test_the_password_of_a_proxy_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:p%40ss-word@p:3128/")

    assert through("https://a.org/") == {"proxy": "http://me:p%40ss-word@p:3128/"}

    assert "p@ss-word" not in redact("it is p@ss-word, or p%40ss-word")
    assert "p%40ss-word" not in redact("it is p@ss-word, or p%40ss-word")


@pytest.mark.parametrize("address", ["socks5://me:s3cret@p:1080", "http://", "http://p:port", "ftp://p"])
def test_an_address_that_is_no_http_proxy_is_refused(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", address)

    with pytest.raises(WrongProxyError) as told:
        proxy_of("https://a.org/")

    assert "HTTPS_PROXY or ALL_PROXY in the environment is" in str(told.value)
    assert "s3cret" not in str(told.value)
