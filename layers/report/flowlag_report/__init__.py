"""The report: charts as files, and what fills them."""
