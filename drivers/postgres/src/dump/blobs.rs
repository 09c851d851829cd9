//! Large objects, from the server into a part.

use dumprestore_driver::{PartWriter, Result};
use tokio_postgres::Row;

use super::piece::{Piece, large_objects_name};
use super::pin::Pinned;
use super::rows::told;
use crate::archived::{LARGEST_PIECE, LargeObject, write_end, write_head, write_piece};
use crate::connect::Connection;

/// How many go into one part.
const IN_ONE_PART: i64 = 500;
/// How many are begun by one statement, and how many bytes of each are read by it: 4 MiB at the most.
const AT_ONCE: usize = 16;
const FIRST_BYTES: i32 = 256 << 10;

/// What `dump` reads for each part, and how many large objects there are.
pub(crate) async fn pieces(
    connection: &Connection,
) -> Result<Vec<(dumprestore_driver::PartName, u64, Piece)>> {
    let sql = "
        SELECT pg_catalog.min(oid), pg_catalog.max(oid)
        FROM (SELECT oid, (pg_catalog.row_number() OVER (ORDER BY oid) - 1) / $1 AS part
              FROM pg_catalog.pg_largeobject_metadata) AS numbered
        GROUP BY part ORDER BY part";
    let rows = connection.query(sql, &[&IN_ONE_PART]).await;
    let rows = rows.map_err(|error| connection.fault(error, "can't list the large objects"))?;
    let piece = |(at, row): (usize, &Row)| {
        Ok((large_objects_name(at + 1)?, 0, Piece::LargeObjects { first: row.get(0), last: row.get(1) }))
    };
    rows.iter().enumerate().map(piece).collect()
}

/// Writes all of a range, and says how many there were.
pub(crate) async fn dump(pinned: &Pinned, first: u32, last: u32, out: &mut PartWriter<'_>) -> Result<u64> {
    let lane = pinned.lanes.take().await?;
    let connection = lane.connection()?;
    let heads = heads(connection, first, last).await?;
    for heads in heads.chunks(AT_ONCE) {
        dump_some(connection, heads, out).await?;
    }
    lane.give_back();
    Ok(heads.len() as u64)
}

const HEADS: &str = "
    SELECT m.oid, pg_catalog.pg_get_userbyid(m.lomowner)::text, m.lomacl::text[],
        pg_catalog.obj_description(m.oid, 'pg_largeobject'),
        ARRAY(SELECT l.provider FROM pg_catalog.pg_seclabel l WHERE l.objoid = m.oid AND l.objsubid = 0
              AND l.classoid = 'pg_catalog.pg_largeobject'::pg_catalog.regclass ORDER BY l.provider),
        ARRAY(SELECT l.label FROM pg_catalog.pg_seclabel l WHERE l.objoid = m.oid AND l.objsubid = 0
              AND l.classoid = 'pg_catalog.pg_largeobject'::pg_catalog.regclass ORDER BY l.provider)
    FROM pg_catalog.pg_largeobject_metadata m
    WHERE m.oid BETWEEN $1 AND $2
    ORDER BY m.oid";

async fn heads(connection: &Connection, first: u32, last: u32) -> Result<Vec<LargeObject>> {
    let rows = connection.query(HEADS, &[&first, &last]).await;
    let rows = rows.map_err(|error| connection.fault(error, "can't list large objects"))?;
    let head = |row: &Row| {
        let (providers, labels): (Vec<String>, Vec<String>) = (row.get(4), row.get(5));
        LargeObject {
            oid: row.get(0),
            owner: row.get(1),
            acl: row.get(2),
            comment: row.get(3),
            security_labels: providers.into_iter().zip(labels).collect(),
        }
    };
    Ok(rows.iter().map(head).collect())
}

async fn dump_some(connection: &Connection, heads: &[LargeObject], out: &mut PartWriter<'_>) -> Result<()> {
    let oids: Vec<u32> = heads.iter().map(|head| head.oid).collect();
    let sql = "
        SELECT pg_catalog.lo_get(l.oid, 0, $2) FROM pg_catalog.unnest($1::oid[]) WITH ORDINALITY AS l (oid, place)
        ORDER BY l.place";
    let failed = |error| told(connection.fault(error, "can't read large objects"), "lo_get");
    let firsts = connection.query(sql, &[&oids, &FIRST_BYTES]).await.map_err(failed)?;
    for (head, row) in heads.iter().zip(&firsts) {
        let first: &[u8] = row.get(0);
        write_head(out, head)?;
        write_piece(out, first)?;
        if first.len() == FIRST_BYTES as usize {
            dump_rest(connection, head.oid, out).await?;
        }
        write_end(out)?;
    }
    Ok(())
}

async fn dump_rest(connection: &Connection, oid: u32, out: &mut PartWriter<'_>) -> Result<()> {
    let failed = |error| told(connection.fault(error, "can't read a large object"), "lo_get");
    let read = connection.prepare("SELECT pg_catalog.lo_get($1, $2, $3)").await.map_err(failed)?;
    let mut from = i64::from(FIRST_BYTES);
    loop {
        let row =
            connection.query_one(&read, &[&oid, &from, &(LARGEST_PIECE as i32)]).await.map_err(failed)?;
        let piece: &[u8] = row.get(0);
        write_piece(out, piece)?;
        if piece.len() < LARGEST_PIECE {
            return Ok(());
        }
        from += piece.len() as i64;
    }
}
