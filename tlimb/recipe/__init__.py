"""The recipe language: `parse` (text to tree), `check`, `format`, `edit` (span patches) and `render` (diagnostics), a module each."""
