//! Roles, which the option `globals` takes along.

use dumprestore_testkit::{PostgresServer, PostgresVersion};

use crate::support::{config, dump, restore};

const MEMBERS: &str = "
    SELECT string_agg(format('%s in %s: %s %s %s', m.rolname, r.rolname, admin_option, inherit_option, set_option), '; '
        ORDER BY m.rolname, r.rolname)
    FROM pg_auth_members a JOIN pg_roles r ON r.oid = roleid JOIN pg_roles m ON m.oid = member
    WHERE m.rolname !~ '^pg_'";

#[tokio::test(flavor = "multi_thread")]
async fn memberships_survive_with_what_each_of_them_allows() {
    let (from, to) =
        (PostgresServer::start(PostgresVersion::V16), PostgresServer::start(PostgresVersion::V18));
    from.batch(
        "postgres",
        "CREATE ROLE a; CREATE ROLE b NOINHERIT; CREATE ROLE \"c %\"; CREATE ROLE d;
         GRANT a TO b WITH INHERIT TRUE, SET FALSE; GRANT a TO \"c %\" WITH INHERIT FALSE, ADMIN TRUE;
         GRANT b TO d; GRANT pg_monitor TO d WITH SET FALSE; GRANT \"c %\" TO d",
    );
    let folder = tempfile::tempdir().unwrap();
    let mut with_globals = config(&from, "postgres");
    with_globals.globals = true;
    let archived = dump(with_globals, folder.path()).await;
    // One of them is there already, and becomes a member of those that are made.
    to.batch("postgres", "CREATE ROLE d; GRANT pg_monitor TO d WITH SET FALSE");
    restore(&archived, &to, "copy").await;
    assert_eq!(to.value("postgres", MEMBERS), from.value("postgres", MEMBERS));
}
