"""What each tab of the report's page holds: report data in, blocks out. An empty list says that there is nothing."""
