"""What came out: ranking, statistics and the report, from the files of finished stages."""

from tlimb.results.ranking import Estimate, Failure, Ranking, Row, rank
from tlimb.results.table import ranking_csv, ranking_table, ranking_text, write_csv

__all__ = ["Estimate", "Failure", "Ranking", "Row", "rank", "ranking_csv", "ranking_table", "ranking_text", "write_csv"]
