"""The page of results: kept runs beside the thesis's, and a check that no figure is without a run."""
