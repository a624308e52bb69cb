"""The index of near sets is kept packed, some sets a row: it is looked through at once instead of asked member by
member."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
_LOT = 4096


def upgrade() -> None:
    op.create_table(
        "ledger_block",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("lineage_id", sa.String(length=64), nullable=False),
        sa.Column("least", sa.Integer(), nullable=False),
        sa.Column("most", sa.Integer(), nullable=False),
        sa.Column("digests", sa.UnicodeText(), nullable=False),
        sa.Column("sizes", sa.LargeBinary(), nullable=False),
        sa.Column("marks", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_block")),
    )
    op.create_index(op.f("ix_ledger_block_lineage_id"), "ledger_block", ["lineage_id"], unique=False)
    lineages = op.get_bind().execute(sa.text("SELECT DISTINCT lineage_id FROM ledger_set ORDER BY lineage_id")).all()
    for (lineage,) in lineages:
        _index(lineage)
    op.drop_table("ledger_prefix")


def _index(lineage: str) -> None:
    """Every set that is kept is found as before."""
    from pyroaring import BitMap

    from sandbox.exports.ranks import Lowest

    connection = op.get_bind()
    ordered = "SELECT digest FROM ledger_set WHERE lineage_id = :l ORDER BY n, digest"
    digests = list(connection.scalars(sa.text(ordered), {"l": lineage}))
    wanted = sa.text("SELECT members FROM ledger_set WHERE lineage_id = :l AND digest = :d")
    for start in range(0, len(digests), _LOT):
        some = digests[start : start + _LOT]
        lowest = Lowest.of([
            BitMap.deserialize(connection.scalar(wanted, {"l": lineage, "d": digest})) for digest in some
        ])  # fmt: skip
        sizes, marks = lowest.packed()
        connection.execute(
            sa.text(
                "INSERT INTO ledger_block (id, lineage_id, least, most, digests, sizes, marks) "
                "VALUES (:i, :l, :least, :most, :digests, :sizes, :marks)"
            ),
            {
                "i": f"blk_{lineage[-24:]}_{start}", "l": lineage, "digests": "\n".join(some), "sizes": sizes,
                "least": int(lowest.sizes.min()), "most": int(lowest.sizes.max()), "marks": marks,
            },
        )  # fmt: skip
