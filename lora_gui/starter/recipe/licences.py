"""Whose work the pictures are, and under which licence it may be used and passed on."""

from pathlib import Path

from lora_gui.starter.recipe.pictures import BASE_SETS, EXAMPLE_SETS, LOOK_SETS, PACKAGES

ATTRIBUTIONS = {
    "noto": "Noto Emoji, copyright Google Inc., Apache-2.0, https://github.com/googlefonts/noto-emoji",
    "twemoji": "Twemoji, copyright Twitter, Inc and other contributors, CC BY 4.0, https://github.com/jdecked/twemoji",
    "fluent-emoji-flat": "Fluent Emoji (flat), copyright Microsoft Corporation, MIT, "
    "https://github.com/microsoft/fluentui-emoji",
    "noto-v1": "Noto Emoji (first version), copyright Google Inc., Apache-2.0, https://github.com/googlefonts/noto-emoji",
    "emojione": "EmojiOne 2, copyright EmojiOne, CC BY 4.0, https://github.com/joypixels/emojione",
    "fxemoji": "Firefox OS Emoji, copyright Mozilla Foundation, Apache-2.0, https://github.com/mozilla/fxemoji",
    "fluent-emoji-high-contrast": "Fluent Emoji (high contrast), copyright Microsoft Corporation, MIT, "
    "https://github.com/microsoft/fluentui-emoji",
    "fluent-emoji-comic": "Fluent Emoji (flat), an outline added, copyright Microsoft Corporation, MIT, "
    "https://github.com/microsoft/fluentui-emoji",
    "fluent-emoji": "Fluent Emoji (colour), copyright Microsoft Corporation, MIT, "
    "https://github.com/microsoft/fluentui-emoji",
}  # fmt: skip

LICENCE_TEXTS = {
    "Apache-2.0": """\
Apache-2.0: Licensed under the Apache License, Version 2.0 (the "License"); you may not use these files except in
compliance with the License. You may obtain a copy of the License at http://www.apache.org/licenses/LICENSE-2.0
Unless required by applicable law or agreed to in writing, software distributed under the License is distributed on an
"AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the License for the
specific language governing permissions and limitations under the License.""",
    "CC BY 4.0": """\
CC BY 4.0: Creative Commons Attribution 4.0 International, https://creativecommons.org/licenses/by/4.0/legalcode
Changes made: rendered at 128 px, mirrored in part, and laid on plain coloured backgrounds.""",
    "MIT": """\
MIT License

Copyright (c) Microsoft Corporation.

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.""",
}


def write_licences(path: Path) -> None:
    """Write down every set and every licence text, as they must travel with the weights and the example pictures."""
    lines = ["# Whose pictures these are", "", "The code here is under Apache-2.0, like the rest of the program.", ""]
    lines += ["The weights in `model/` are trained on renderings of these icon sets, some of them changed:", ""]
    lines += [f"- {ATTRIBUTIONS[name]}" for name in (*BASE_SETS, *LOOK_SETS)]
    lines += ["", "The pictures in `examples/` are renderings of these sets:", ""]
    lines += [f"- {ATTRIBUTIONS[name]}" for name in EXAMPLE_SETS]
    packages = ", ".join(name for name in ATTRIBUTIONS if name in PACKAGES)
    lines += ["", "The drawings in `learning/` are the starter's own, with LoRAs of the pictures in `examples/`."]
    lines += ["", f"All were taken from the `@iconify-json` packages of these names: {packages}.", ""]
    for name, text in LICENCE_TEXTS.items():
        lines += [f"## {name}", "", text, ""]
    path.write_text("\n".join(lines), encoding="utf-8")
