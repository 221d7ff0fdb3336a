from neurocompile.reports.compare import Comparison


def comparison_html(comparison: Comparison) -> str:
    return ""
