"""docs/data-dictionary.md is what the tables and views say of themselves, and all of them say something."""

import pytest

from cartcast.reference.data_dictionary import GROUPS
from service.clickhouse import connect

pytestmark = pytest.mark.integration


@pytest.fixture
def client(database):
    return connect(database, database=database.database)


def test_every_view_and_column_has_a_comment(client):
    views = client.query("SELECT name FROM system.tables WHERE database = currentDatabase() AND comment = ''")
    assert views.result_rows == []
    columns = client.query(
        "SELECT table, name FROM system.columns WHERE database = currentDatabase() AND comment = '' AND table NOT IN "
        "(SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'MaterializedView')"
    )
    assert columns.result_rows == []


def test_every_table_and_view_is_on_the_page(client):
    names = {name for (name,) in client.query("SHOW TABLES").result_rows}
    assert names == {name for group in GROUPS.values() for name in group}
