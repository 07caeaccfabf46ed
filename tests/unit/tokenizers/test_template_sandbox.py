"""Chat templates from anywhere: bounded in time and size, and otherwise as before."""

from __future__ import annotations

import sys

import pytest

from yanmo.errors import InputError
from yanmo.tokenizers import template_sandbox
from yanmo.tokenizers.chat_template import CHATML, render

HELLO = [{"role": "user", "content": "研墨"}]


def run(template: str) -> str:
    return render(template, HELLO, add_generation_prompt=True, names={})


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% set c = a * b %}{% endfor %}{% endfor %}",
        "{% macro m(n) %}{% for i in range(99) %}{{ m(n) }}{% endfor %}{% endmacro %}{{ m(1) }}",
        "{{ 'a' * 999999999 }}",
        "{{ 999999999 * 'a' }}",
        "{{ [1] * 999999999 }}",
        "{{ '%999999999d' % 1 }}",
        "{{ 2 ** 999999999 }}",
        "{{ 9 ** 63 ** 63 }}",
        "{% set n = namespace(s='aaaaaaaa') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}"
        "{% set t = n.s %}{% endfor %}",
        "{% for i in range(99999) %}{{ 'a' * 9999 }}{% endfor %}",
        "{{ 1 / 0 }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
    ],
)
def test_hostile_templates_end_in_one_line(template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_sandbox, "_MAX_THREAD_S", 0.3)
    with pytest.raises(InputError) as caught:
        run(template)
    assert "\n" not in str(caught.value)
    assert "chat template" in str(caught.value)


def test_honest_templates_are_as_they_were() -> None:
    before = sys.gettrace()
    assert run(CHATML) == "<|im_start|>user\n研墨<|im_end|>\n<|im_start|>assistant\n"
    assert run("{{ '=' * 20 }}{{ 3 * 4 }}{{ 2 ** 10 }}{{ '%s-%02d' % ('a', 7) }}{{ 7 % 4 }}") == (
        "=" * 20 + "121024a-073"
    )
    assert sys.gettrace() is before
