"""The report in a browser: it fits, follows the colour scheme, and takes the keyboard."""

from __future__ import annotations

import json

import pytest

from .conftest import SHORT, run

selenium = pytest.importorskip("selenium", reason='needs selenium: pip install "gdw_tf[test]"')

WIDTHS = (390, 1600)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    assert run("train", *SHORT, f"--workdir={root / 'run'}").code == 0
    assert run("report", root / "run", f"--out={root / 'page.html'}").code == 0
    return root / "page.html"


def show(browser, page, width: int, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.get(page.as_uri())


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_sticks_out(browser, page, width):
    show(browser, page, width, "light")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    outside = browser.execute_script(
        """return [...document.querySelectorAll('svg text')].filter(text => {
            const box = text.getBoundingClientRect();
            return box.width && (box.left < 0 || box.right > innerWidth);
        }).map(text => text.textContent)"""
    )
    assert outside == []


def test_colours_follow_the_scheme_in_drawings_too(browser, page):
    def colours() -> list[str]:
        return browser.execute_script(
            """const style = (selector, what) =>
                getComputedStyle(document.querySelector(selector))[what];
            return [style('body', 'backgroundColor'), style('svg .line', 'stroke'),
                    style('svg .tick', 'fill'), style('svg .q0', 'fill')]"""
        )

    show(browser, page, 1600, "light")
    light = colours()
    show(browser, page, 1600, "dark")
    assert all(one != other for one, other in zip(light, colours(), strict=True))


def test_the_keyboard_reaches_what_can_be_used(browser, page):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    show(browser, page, 390, "light")
    ActionChains(browser).send_keys(Keys.TAB).perform()
    assert browser.switch_to.active_element.text == "Skip to the results"
    assert browser.switch_to.active_element.rect["y"] >= 0
    outline = browser.switch_to.active_element.value_of_css_property("outline-style")
    assert outline == "solid"
    ActionChains(browser).send_keys(Keys.ENTER).perform()
    assert browser.switch_to.active_element.get_attribute("id") == "main"
    ActionChains(browser).send_keys(Keys.TAB).perform()
    assert browser.switch_to.active_element.get_attribute("aria-label") == "Comparison"


def test_nothing_is_asked_of_the_network_and_no_error_is_logged(browser, page):
    browser.get_log("performance")
    show(browser, page, 1600, "light")
    messages = [json.loads(one["message"])["message"] for one in browser.get_log("performance")]
    asked = {
        one["params"]["request"]["url"]
        for one in messages
        if one["method"] == "Network.requestWillBeSent"
    }
    assert {one for one in asked if not one.startswith("data:")} == {page.as_uri()}
    assert browser.get_log("browser") == []
