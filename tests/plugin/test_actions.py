"""The table of keys, and what binding them leaves behind: nothing."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.key_bindings import _vispy2appmodel, coerce_keybinding
from napari.utils.shortcuts import default_shortcuts
from vispy.util.keys import Key

from napari_sam2.core.errors import OptionError
from napari_sam2.plugin.actions import ACTIONS, KeyBindings, commands_of, labelled, with_key
from napari_sam2.plugin.controller import Controller
from napari_sam2.plugin.settings import PluginSettings

SAME_MEANING = {"M", "Delete", "Escape"}
"""Keys that do on our layers what napari does with them elsewhere: a new label, delete a point, leave a drawing."""


def test_keys_are_unique_and_every_action_is_a_method_of_the_controller_or_its_parts():
    assert len({action.key for action in ACTIONS}) == len(ACTIONS)
    commands = commands_of(Controller(ViewerModel()))
    assert list(commands) == [action.name for action in ACTIONS]
    assert all(callable(command) for command in commands.values())


def test_no_key_has_another_meaning_in_napari():
    native = {
        str(key) for keys in default_shortcuts.values() for key in map(coerce_keybinding, keys)
    }
    ours = {action.key: str(coerce_keybinding(action.key)) for action in ACTIONS}
    taken = {key for key, spelled in ours.items() if spelled in native}
    # T draws a path in a Shapes layer; on ours a path is a scribble, and others are left alone.
    assert taken <= SAME_MEANING | {"T"}


def test_every_key_arrives_from_a_keyboard():
    """Shift turns [ into another character, and napari drops what that gives."""
    for action in ACTIONS:
        *modifiers, key = action.key.split("-")
        event = SimpleNamespace(key=Key(key), modifiers=[Key(name) for name in modifiers])
        assert _vispy2appmodel(event) == coerce_keybinding(action.key), action.key


def test_what_people_read_is_the_key_itself():
    for action in ACTIONS:
        spelled = action.key.replace("Control", "Ctrl").replace("-", "+")
        spelled = spelled.replace("Escape", "Esc").replace("Delete", "Del")
        assert action.shown == spelled
        assert action.tip
        assert action.title


def test_the_documentation_lists_every_key():
    page = (Path(__file__).parents[2] / "docs" / "annotating.md").read_text()
    for action in ACTIONS:
        assert f"| `{action.shown}` | {action.title} | {action.tip} |" in page


def test_tooltips_and_buttons_name_the_key():
    assert labelled("running.propagate").endswith("(Shift+S)")
    assert with_key("running.stop") == "Stop   Esc"


def test_keys_come_before_those_of_napari_and_are_given_back():
    pressed = []
    keys = KeyBindings(
        {action.name: lambda name=action.name: pressed.append(name) for action in ACTIONS}
    )
    layer, viewer = Labels(np.zeros((2, 2), int)), ViewerModel()
    viewer.bind_key("M", lambda viewer: pressed.append("somebody else's"))
    before = dict(viewer.keymap)
    for provider in (layer, viewer):
        keys.bind(provider)
        keys.bind(provider)  # once is enough
    for provider in (layer, viewer):
        provider.keymap[next(key for key in provider.keymap if str(key) == "M")](provider)
    assert pressed == ["next_object", "next_object"]
    keys.release()
    assert not layer.keymap
    assert viewer.keymap == before


def test_settings_survive_a_round_trip_and_refuse_nonsense():
    settings = PluginSettings(model="tiny", point_size=10)
    assert PluginSettings.from_dict(settings.to_dict()) == settings
    with pytest.raises(OptionError, match="colour"):
        PluginSettings.from_dict({"colour": 1})
    with pytest.raises(OptionError):
        PluginSettings(labels_opacity=2)
