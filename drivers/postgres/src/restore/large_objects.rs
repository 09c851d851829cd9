//! Large objects, made with the numbers that they had.

use dumprestore_driver::{Cancel, PartReader, Result};
use tokio_postgres::Statement;

use super::acl;
use super::items::Policies;
use super::pipeline::Pipeline;
use crate::archived::{LargeObject, LargeObjectReader};
use crate::config::Policy;
use crate::connect::Connection;
use crate::quote;

/// Loads a part of large objects.
pub(crate) async fn load(
    session: &Connection,
    from: &mut PartReader<'_>,
    policies: Policies,
    cancel: &Cancel,
) -> Result<()> {
    let writer = Writer::new(session).await?;
    let mut reader = LargeObjectReader::new(from);
    let mut small = Pipeline::default();
    let (mut piece, mut next) = (Vec::new(), Vec::new());
    while let Some(head) = reader.next_head()? {
        cancel.check()?;
        reader.next_piece(&mut piece)?;
        let more = !piece.is_empty() && reader.next_piece(&mut next)?;
        if !more && piece.len() < SMALL {
            small.send(writer.small(head, std::mem::take(&mut piece), policies)).await?;
            continue;
        }
        // Others may wait in the pipeline, but they are small.
        let mut at = writer.make(head.oid, std::mem::take(&mut piece)).await?;
        while !next.is_empty() {
            at += writer.put(head.oid, at, std::mem::take(&mut next)).await?;
            cancel.check()?;
            reader.next_piece(&mut next)?;
        }
        writer.describe(&head, policies).await?;
    }
    small.finish().await
}

/// Below this many bytes, large objects are made without waiting for each.
const SMALL: usize = 64 * 1024;

/// The statements that write large objects.
struct Writer<'a> {
    session: &'a Connection,
    make: Statement,
    put: Statement,
}

impl<'a> Writer<'a> {
    async fn new(session: &'a Connection) -> Result<Self> {
        let prepare = async |query: &str| {
            session.prepare(query).await.map_err(|error| session.fault(error, "can't load large objects"))
        };
        let make = prepare("SELECT pg_catalog.lo_from_bytea($1, $2)").await?;
        let put = prepare("SELECT pg_catalog.lo_put($1, $2, $3)").await?;
        Ok(Self { session, make, put })
    }

    async fn small(&self, head: LargeObject, content: Vec<u8>, policies: Policies) -> Result<()> {
        self.make(head.oid, content).await?;
        self.describe(&head, policies).await
    }

    /// Makes one with this beginning, whose length it gives.
    async fn make(&self, oid: u32, content: Vec<u8>) -> Result<i64> {
        let made = self.session.query_one(&self.make, &[&oid, &content]).await;
        made.map_err(|error| self.failed(error, oid)).map(|_| content.len() as i64)
    }

    /// Adds to one at this offset, and gives how much.
    async fn put(&self, oid: u32, at: i64, content: Vec<u8>) -> Result<i64> {
        let put = self.session.query_one(&self.put, &[&oid, &at, &content]).await;
        put.map_err(|error| self.failed(error, oid)).map(|_| content.len() as i64)
    }

    /// Gives one its owner, privileges, comment and labels.
    async fn describe(&self, head: &LargeObject, policies: Policies) -> Result<()> {
        let statements = described(head, policies)?;
        if statements.is_empty() {
            return Ok(());
        }
        let all = statements.join(";");
        self.session.batch_execute(&all).await.map_err(|error| self.failed(error, head.oid))
    }

    fn failed(&self, error: tokio_postgres::Error, oid: u32) -> dumprestore_driver::Error {
        self.session.fault(error, "can't load a large object").with_context("large object", oid)
    }
}

/// The statements that give a large object its owner, privileges, comment and labels.
pub(crate) fn described(head: &LargeObject, policies: Policies) -> Result<Vec<String>> {
    let what = format!("LARGE OBJECT {}", head.oid);
    let mut statements = Vec::new();
    if policies.owners == Policy::Keep {
        statements.push(format!("ALTER {what} OWNER TO {}", quote::name(&head.owner)));
    }
    if let Some(comment) = &head.comment {
        statements.push(format!("COMMENT ON {what} IS {}", quote::literal(comment)));
    }
    for (provider, label) in &head.security_labels {
        let (provider, label) = (quote::name(provider), quote::literal(label));
        statements.push(format!("SECURITY LABEL FOR {provider} ON {what} IS {label}"));
    }
    if let Some(acl) = head.acl.as_deref().filter(|_| policies.privileges == Policy::Keep) {
        statements.extend(acl::statements(acl, &what, &head.owner, acl::OF_LARGE_OBJECT)?);
    }
    Ok(statements)
}
