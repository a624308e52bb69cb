"""Released cells by lineage: sets of entities kept once, with an index of near ones; ties between merchants."""

from __future__ import annotations

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    _ledger()
    _ties()
    with op.batch_alter_table("ledger_cell") as table:
        for name, kind in (
            ("lineage_id", sa.String(64)), ("digest", sa.String(80)), ("value", sa.String(20)),
            ("table_name", sa.String(600)), ("grouping", sa.Integer()), ("unit", sa.String(20)),
            ("status", sa.String(20)), ("tops", sa.JSON()), ("x_total", sa.Float()), ("at", sa.String(32)),
            ("recalled_at", sa.String(32)),
        ):  # fmt: skip
            table.add_column(sa.Column(name, kind, nullable=True))
    _carry_over()
    with op.batch_alter_table("ledger_cell") as table:
        table.drop_index(op.f("ix_ledger_cell_kind"))
        for name in ("kind", "bitmap", "members"):
            table.drop_column(name)
        for name, kind in (
            ("lineage_id", sa.String(64)), ("digest", sa.String(80)), ("value", sa.String(20)),
            ("table_name", sa.String(600)), ("grouping", sa.Integer()), ("unit", sa.String(20)),
            ("status", sa.String(20)), ("tops", sa.JSON()),
        ):  # fmt: skip
            table.alter_column(name, existing_type=kind, nullable=False)
    for column in ("lineage_id", "digest"):
        op.create_index(op.f(f"ix_ledger_cell_{column}"), "ledger_cell", [column], unique=False)


def _ledger() -> None:
    op.create_table(
        "ledger_lineage",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=80), nullable=False),
        sa.Column("key", sa.String(length=16), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_lineage")),
        sa.UniqueConstraint("kind", name=op.f("uq_ledger_lineage_kind")),
    )
    op.create_table(
        "ledger_root",
        sa.Column("lineage_id", sa.String(length=64), nullable=False),
        sa.Column("resource_id", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("lineage_id", "resource_id", name=op.f("pk_ledger_root")),
    )
    op.create_index(op.f("ix_ledger_root_resource_id"), "ledger_root", ["resource_id"], unique=False)
    op.create_table(
        "ledger_set",
        sa.Column("lineage_id", sa.String(length=64), nullable=False),
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("members", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("lineage_id", "digest", name=op.f("pk_ledger_set")),
    )
    op.create_table(
        "ledger_prefix",
        sa.Column("lineage_id", sa.String(length=64), nullable=False),
        sa.Column("rank", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(length=80), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("lineage_id", "rank", "digest", name=op.f("pk_ledger_prefix")),
    )


def _ties() -> None:
    op.create_table(
        "merchant_tie",
        sa.Column("merchant_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("declared_by", sa.String(length=64), nullable=False),
        sa.Column("declared_at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("merchant_id", "kind", "name", name=op.f("pk_merchant_tie")),
    )
    op.create_index(op.f("ix_merchant_tie_name"), "merchant_tie", ["name"], unique=False)


def _carry_over() -> None:
    """Every kind becomes a lineage, every set is kept once with its lowest ranks; not a cell is lost."""
    from pyroaring import BitMap

    from sandbox.exports.ranks import members_of, prefix

    connection = op.get_bind()
    text = connection.execute
    for (kind,) in text(sa.text("SELECT DISTINCT kind FROM ledger_cell ORDER BY kind")).all():
        lineage = "lin_" + hashlib.sha256(kind.encode()).hexdigest()[:24]
        text(sa.text("INSERT INTO ledger_lineage (id, kind, key, version) VALUES (:i, :k, '', 1)"),
             {"i": lineage, "k": kind})  # fmt: skip
        names = [n for (n,) in text(sa.text("SELECT DISTINCT bitmap FROM ledger_cell WHERE kind = :k"), {"k": kind})]
        for name in names:
            members, n = text(
                sa.text("SELECT members, n FROM ledger_cell WHERE kind = :k AND bitmap = :b LIMIT 1"),
                {"k": kind, "b": name},
            ).one()
            text(sa.text("INSERT INTO ledger_set (lineage_id, digest, n, members) VALUES (:l, :d, :n, :m)"),
                 {"l": lineage, "d": name, "n": n, "m": members})  # fmt: skip
            for rank in prefix(members_of(BitMap.deserialize(members))):
                text(sa.text("INSERT INTO ledger_prefix (lineage_id, rank, digest, n) VALUES (:l, :r, :d, :n)"),
                     {"l": lineage, "r": int(rank), "d": name, "n": n})  # fmt: skip
        text(
            sa.text(
                "UPDATE ledger_cell SET lineage_id = :l, digest = bitmap, table_name = '', grouping = 0, "
                "unit = 'entity', status = 'released', tops = '[]', "
                "value = CASE WHEN low IS NOT NULL AND low < high THEN 'rounded' ELSE 'exact' END WHERE kind = :k"
            ),
            {"l": lineage, "k": kind},
        )
