"""The screens of `rsq-pipe top`. Alone imports Textual."""
