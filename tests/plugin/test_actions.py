"""The table of keys, and what binding them leaves behind: nothing."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_sam2.core.errors import OptionError
from napari_sam2.plugin.actions import ACTIONS, KeyBindings, labelled, with_key
from napari_sam2.plugin.controller import Controller
from napari_sam2.plugin.settings import PluginSettings


def test_keys_are_unique_and_every_action_is_a_method_of_the_controller():
    assert len({action.key for action in ACTIONS}) == len(ACTIONS)
    assert all(callable(getattr(Controller, action.name)) for action in ACTIONS)


def test_tooltips_and_buttons_name_the_key():
    assert labelled("propagate").endswith("(Shift+S)")
    assert with_key("stop") == "Stop   Esc"


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
