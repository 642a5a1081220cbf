"""The look of the window: one accent colour on paper and ink, in light and dark; fonts of the system only."""

from pathlib import Path

from gradio.themes.base import Base
from gradio.themes.utils import colors, sizes

CSS = sorted(Path(__file__).parent.rglob("*.css"))  # style.css, and what a tab has of its own
_UI = Path(__file__).parent
PAGE = _UI / "page.js", _UI / "widgets" / "painter.js"  # what the browser does by itself

VIRIDIAN = colors.Color(
    name="viridian",
    c50="#eef6f3",
    c100="#d9ece6",
    c200="#b5d9ce",
    c300="#86bfae",
    c400="#56a18c",
    c500="#2b7d69",
    c600="#1f6f5c",
    c700="#1a5a4b",
    c800="#17483d",
    c900="#143b33",
    c950="#0a231e",
)
PAPER = colors.Color(
    name="paper",
    c50="#faf9f7",
    c100="#f3f1ed",
    c200="#e7e4de",
    c300="#d5d1c9",
    c400="#a8a39a",
    c500="#736e66",
    c600="#5b5750",
    c700="#423f3a",
    c800="#2a2826",
    c900="#1d1c1a",
    c950="#151413",
)
SANS = (
    "-apple-system",
    "Segoe UI Variable Text",
    "Segoe UI",
    "Inter",
    "Cantarell",
    "Ubuntu",
    "Noto Sans",
    "Liberation Sans",
    "Arial",
)
MONO = ("ui-monospace", "SF Mono", "Cascadia Mono", "Consolas", "Liberation Mono")


class Look(Base):
    """Calm and well lit: warm paper, hairlines instead of boxes, one colour that means `this is yours to press`."""

    def __init__(self) -> None:
        super().__init__(
            primary_hue=VIRIDIAN,
            secondary_hue=VIRIDIAN,
            neutral_hue=PAPER,
            spacing_size=sizes.spacing_md,
            radius_size=sizes.radius_md,
            text_size=sizes.text_md,
            font=(*SANS, "sans-serif"),
            font_mono=(*MONO, "monospace"),
        )
        self.name = "studio"
        self.set(**_SURFACES, **_INPUTS, **_BUTTONS)


_SURFACES = {
    "body_background_fill": "*neutral_50",
    "body_background_fill_dark": "*neutral_950",
    "body_text_color": "*neutral_800",
    "body_text_color_dark": "*neutral_200",
    "body_text_color_subdued": "*neutral_500",
    "body_text_color_subdued_dark": "*neutral_400",
    "background_fill_primary": "#ffffff",
    "background_fill_primary_dark": "*neutral_900",
    "background_fill_secondary": "*neutral_100",
    "background_fill_secondary_dark": "*neutral_800",
    "border_color_primary": "*neutral_200",
    "border_color_primary_dark": "#35322f",
    "border_color_accent": "*primary_500",
    "border_color_accent_dark": "*primary_400",
    "color_accent": "*primary_600",
    "color_accent_soft": "*primary_50",
    "color_accent_soft_dark": "#1b2b27",
    "block_background_fill": "transparent",
    "block_background_fill_dark": "transparent",
    "block_border_width": "0px",
    "block_shadow": "none",
    "block_padding": "0px",
    "block_radius": "10px",
    "block_label_background_fill": "transparent",
    "block_label_background_fill_dark": "transparent",
    "block_label_border_width": "0px",
    "block_label_text_color": "*neutral_600",
    "block_label_text_color_dark": "*neutral_300",
    "block_title_text_color": "*neutral_700",
    "block_title_text_color_dark": "*neutral_200",
    "block_title_text_weight": "600",
    "block_title_text_size": "14px",
    "block_info_text_size": "13px",
    "block_info_text_color": "*neutral_500",
    "block_info_text_color_dark": "*neutral_400",
    "layout_gap": "20px",
    "form_gap_width": "0px",
    "link_text_color": "*primary_600",
    "link_text_color_dark": "*primary_300",
    "loader_color": "*primary_500",
    "loader_color_dark": "*primary_400",
    "accordion_text_color": "*neutral_700",
    "accordion_text_color_dark": "*neutral_200",
    "shadow_drop": "none",
    "shadow_drop_lg": "0 6px 24px rgba(40, 36, 30, .10)",
}
_INPUTS = {
    "input_background_fill": "#ffffff",
    "input_background_fill_dark": "*neutral_900",
    "input_border_width": "1px",
    "input_border_color": "*neutral_300",
    "input_border_color_dark": "*neutral_700",
    "input_border_color_focus": "*primary_500",
    "input_border_color_focus_dark": "*primary_400",
    "input_radius": "8px",
    "input_padding": "10px 12px",
    "input_shadow": "none",
    "input_shadow_focus": "0 0 0 3px rgba(47, 133, 112, .18)",
    "input_shadow_focus_dark": "0 0 0 3px rgba(86, 161, 140, .25)",
    "input_placeholder_color": "*neutral_500",
    "input_placeholder_color_dark": "*neutral_400",
    "slider_color": "*primary_600",
    "slider_color_dark": "*primary_400",
    "checkbox_background_color": "#ffffff",
    "checkbox_background_color_dark": "*neutral_900",
    "checkbox_background_color_selected": "*primary_600",
    "checkbox_background_color_selected_dark": "*primary_500",
    "checkbox_border_color": "#8c877e",  # 3 to 1 on white and paper, as WCAG 2.2 asks of controls
    "checkbox_border_color_dark": "#7a756d",
    "checkbox_border_color_selected": "*primary_600",
    "checkbox_border_color_selected_dark": "*primary_500",
    "checkbox_label_background_fill": "transparent",
    "checkbox_label_background_fill_dark": "transparent",
    "checkbox_label_background_fill_hover": "transparent",
    "checkbox_label_background_fill_hover_dark": "transparent",
    "checkbox_label_background_fill_selected": "transparent",
    "checkbox_label_background_fill_selected_dark": "transparent",
    "checkbox_label_border_width": "0px",
    "checkbox_label_padding": "0px",
    "checkbox_label_shadow": "none",
}
_BUTTONS = {
    "button_border_width": "1px",
    "button_transition": "background .15s, border-color .15s, color .15s",
    "button_large_padding": "11px 26px",
    "button_large_radius": "9px",
    "button_large_text_size": "15px",
    "button_large_text_weight": "600",
    "button_medium_padding": "8px 16px",
    "button_medium_radius": "8px",
    "button_medium_text_size": "14px",
    "button_medium_text_weight": "500",
    "button_small_padding": "6px 12px",
    "button_small_radius": "7px",
    "button_small_text_size": "14px",
    "button_small_text_weight": "500",
    "button_primary_background_fill": "*primary_600",
    "button_primary_background_fill_dark": "*primary_500",
    "button_primary_background_fill_hover": "*primary_700",
    "button_primary_background_fill_hover_dark": "*primary_600",
    "button_primary_border_color": "*primary_600",
    "button_primary_border_color_dark": "*primary_500",
    "button_primary_text_color": "#ffffff",
    "button_primary_text_color_dark": "#ffffff",
    "button_primary_shadow": "none",
    "button_secondary_background_fill": "#ffffff",
    "button_secondary_background_fill_dark": "*neutral_900",
    "button_secondary_background_fill_hover": "*neutral_100",
    "button_secondary_background_fill_hover_dark": "*neutral_800",
    "button_secondary_border_color": "*neutral_300",
    "button_secondary_border_color_dark": "*neutral_700",
    "button_secondary_text_color": "*neutral_700",
    "button_secondary_text_color_dark": "*neutral_200",
    "button_secondary_shadow": "none",
}
