"""What every page of the sandbox's bank has in common: how it looks, and what it may not do."""

from typing import Final

# No script, nothing from elsewhere, and buttons that lead nowhere but here.
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
STYLE: Final = """
    body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: #eef2f1;
           color: #1c2b29; font: 16px/1.5 system-ui, sans-serif }
    main { width: 20rem; margin: 1rem; padding: 2rem; background: #fff; border-radius: 1rem;
           box-shadow: 0 .5rem 2rem rgb(0 60 50 / .12); text-align: center }
    small { color: #55706b }
    h1 { margin: .5rem 0 0; font-size: 2.2rem; font-variant-numeric: tabular-nums }
    h1.words { font-size: 1.5rem; line-height: 1.2 }
    p { margin: .25rem 0 1.5rem; overflow-wrap: anywhere }
    form { display: grid; gap: .75rem }
    label { display: grid; gap: .25rem; text-align: left }
    select { min-width: 0; padding: .7rem; border: 1px solid #b9c9c5; border-radius: .6rem;
             background: #fff; color: inherit; font: inherit }
    button { padding: .8rem; border: 0; border-radius: .6rem; font: inherit; font-weight: 600;
             cursor: pointer }
    :focus-visible { outline: 3px solid #f5a524; outline-offset: 2px }
    .approve { background: #0b6e5f; color: #fff }
    .decline { background: #e8eeec; color: #1c2b29 }
"""


def document(content: str) -> str:
    """Draw a page around its content, which is HTML already."""
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Sandbox bank</title>
<style>{STYLE}</style>
<main>
<small>Sandbox bank: no real money moves here</small>
{content}
</main>
</html>
"""
