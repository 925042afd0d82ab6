"""The screens of `rsq-pipe top`. Only this package imports Textual."""
