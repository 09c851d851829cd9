//! Roles, which belong to the server and not to a database.

use std::collections::{BTreeMap, HashSet};

use dumprestore_driver::Result;

use super::rows;
use crate::archived::{LargeObjectRoles, Role};
use crate::connect::Connection;
use crate::quote;

const ROLES: &str = "
    SELECT r.rolname::text, r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin,
        r.rolreplication, r.rolbypassrls, r.rolconnlimit, r.rolvaliduntil::text, r.rolconfig,
        pg_catalog.shobj_description(r.oid, 'pg_authid')
    FROM pg_catalog.pg_roles r
    WHERE pg_catalog.left(r.rolname::text, 3) <> 'pg_'
    ORDER BY 1";

/// Several may have granted the same: what counts is what a member may by any of it.
fn members(version: u32) -> String {
    let options = match version {
        160_000.. => "pg_catalog.bool_or(a.inherit_option), pg_catalog.bool_or(a.set_option)",
        _ => "NULL::boolean, NULL::boolean",
    };
    format!(
        "SELECT m.rolname::text, r.rolname::text, pg_catalog.bool_or(a.admin_option), {options} \
         FROM pg_catalog.pg_auth_members a \
         JOIN pg_catalog.pg_roles r ON r.oid = a.roleid \
         JOIN pg_catalog.pg_roles m ON m.oid = a.member \
         WHERE pg_catalog.left(m.rolname::text, 3) <> 'pg_' \
         GROUP BY 1, 2 ORDER BY 1, 2"
    )
}

/// What a member may, as `GRANT` has it: from server 16 on it is said of each membership whether it is inherited, and
/// whether `SET ROLE` is allowed.
fn options(admin: bool, inherit: Option<bool>, set: Option<bool>) -> String {
    match (inherit, set) {
        (Some(inherit), Some(set)) => format!(" WITH ADMIN {admin}, INHERIT {inherit}, SET {set}"),
        _ if admin => " WITH ADMIN OPTION".to_owned(),
        _ => String::new(),
    }
}

/// Every role that is the user's, after those that it is a member of. Passwords are not read: a login may not, and they
/// are not the archive's business. Settings for one database are the database's.
pub(crate) async fn roles(connection: &Connection) -> Result<Vec<Role>> {
    let mut roles = BTreeMap::new();
    for row in rows(connection, "can't list the roles", ROLES, &[]).await? {
        let name: String = row.get(0);
        let sql = statements(&name, &row);
        roles.insert(name, (sql, Vec::new()));
    }
    let asked = members(connection.version());
    for row in rows(connection, "can't list the members of roles", &asked, &[]).await? {
        let (member, of): (String, String) = (row.get(0), row.get(1));
        let options = options(row.get(2), row.get(3), row.get(4));
        if let Some((sql, memberships)) = roles.get_mut(&member) {
            sql.push(format!("GRANT {} TO {}{options};", quote::name(&of), quote::name(&member)));
            memberships.push(of);
        }
    }
    Ok(in_order(roles))
}

fn statements(name: &str, row: &tokio_postgres::Row) -> Vec<String> {
    const OPTIONS: [&str; 7] =
        ["SUPERUSER", "INHERIT", "CREATEROLE", "CREATEDB", "LOGIN", "REPLICATION", "BYPASSRLS"];
    let role = quote::name(name);
    let mut options = String::new();
    for (at, option) in OPTIONS.into_iter().enumerate() {
        options.push_str(if row.get(at + 1) { " " } else { " NO" });
        options.push_str(option);
    }
    let limit: i32 = row.get(8);
    let mut sql = vec![format!("CREATE ROLE {role};")];
    let until: Option<String> = row.get(9);
    let until = until.map(|until| format!(" VALID UNTIL {}", quote::literal(&until))).unwrap_or_default();
    sql.push(format!("ALTER ROLE {role} WITH{options} CONNECTION LIMIT {limit}{until};"));
    for said in row.get::<_, Option<Vec<String>>>(10).unwrap_or_default() {
        let (setting, value) = said.split_once('=').unwrap_or((&said, ""));
        sql.push(format!("ALTER ROLE {role} SET {};", quote::setting(setting, value)));
    }
    if let Some(comment) = row.get::<_, Option<String>>(11) {
        sql.push(format!("COMMENT ON ROLE {role} IS {};", quote::literal(&comment)));
    }
    sql
}

const OF_LARGE_OBJECTS: &str = "
    SELECT DISTINCT 'owner', pg_catalog.pg_get_userbyid(lomowner)::text FROM pg_catalog.pg_largeobject_metadata
    UNION SELECT 'granted', pg_catalog.pg_get_userbyid(a.role)::text
    FROM (SELECT DISTINCT lomacl FROM pg_catalog.pg_largeobject_metadata) m,
        pg_catalog.aclexplode(m.lomacl) g, pg_catalog.unnest(ARRAY[g.grantee, g.grantor]) a (role)
    WHERE a.role <> 0
    ORDER BY 1, 2";

/// Whom large objects belong to, and who is granted something on them.
pub(crate) async fn large_object_roles(connection: &Connection) -> Result<LargeObjectRoles> {
    let mut roles = LargeObjectRoles::default();
    for row in rows(connection, "can't read whom large objects belong to", OF_LARGE_OBJECTS, &[]).await? {
        let list = if row.get::<_, &str>(0) == "owner" { &mut roles.owners } else { &mut roles.granted };
        list.push(row.get(1));
    }
    Ok(roles)
}

type Found = BTreeMap<String, (Vec<String>, Vec<String>)>;

/// Each after those it is a member of. The server lets no role be a member of itself by any detour.
fn in_order(found: Found) -> Vec<Role> {
    let mut made = Vec::with_capacity(found.len());
    let mut seen = HashSet::new();
    for first in found.keys() {
        let mut path = vec![(first, false)];
        while let Some((name, is_after)) = path.pop() {
            let Some((sql, memberships)) = found.get(name) else { continue };
            if is_after {
                made.push(Role { name: name.clone(), sql: sql.clone() });
            } else if seen.insert(name) {
                path.push((name, true));
                path.extend(memberships.iter().map(|of| (of, false)));
            }
        }
    }
    made
}
