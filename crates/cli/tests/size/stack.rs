//! A whole stack, from its servers into a bucket and back, by way of a disk that none of it would fit on.

use std::fmt::Write as _;
use std::sync::Mutex;

use dumprestore_testkit::{
    MysqlServer, MysqlVersion, PostgresServer, PostgresVersion, RedisServer, RedisVersion, S3Bucket, S3Kind,
    S3Server,
};
use sha2::{Digest as _, Sha256};

use crate::content::{asked, content, for_each};
use crate::site::{Site, options};

/// All that there is for temporary files and for the state folder.
const DISK: u64 = 10 << 20;
/// Of each source there is so much, at least, that does not compress.
const MB: u64 = 1 << 20;
/// Kilobytes of a picture, three quarters of which compress.
const PICTURE: u64 = 64;

struct Stack {
    postgres: &'static PostgresServer,
    mysql: &'static MysqlServer,
    redis: RedisServer,
    store: &'static S3Server,
    media: S3Bucket,
    archives: S3Bucket,
    shop: String,
    crm: String,
}

impl Stack {
    fn new() -> Self {
        let (postgres, mysql) =
            (PostgresServer::shared(PostgresVersion::V15), MysqlServer::shared(MysqlVersion::Mariadb10_11));
        let store = S3Server::shared(S3Kind::Ceph);
        Self {
            shop: postgres.create_database(),
            crm: mysql.create_database(),
            redis: RedisServer::start(RedisVersion::Redis7_0),
            media: store.create_bucket(),
            archives: store.create_bucket(),
            postgres,
            mysql,
            store,
        }
    }

    /// So many megabytes of noise in each, more or less.
    fn fill(&self, megabytes: u64) {
        let pictures = megabytes * 1024 * 4 / PICTURE;
        let rows = Mutex::new(String::new());
        for_each(pictures, |number| {
            let key = format!("{number:06}.jpg");
            let content = content(number, (PICTURE << 10) as usize);
            self.media.put(&format!("shop/{key}"), &content);
            let digest = Sha256::digest(&content).iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            });
            let _ = writeln!(rows.lock().unwrap(), "INSERT INTO picture VALUES ('{key}', '{digest}');");
        });
        let rows = rows.into_inner().unwrap();
        // Twice as many bytes as the noise in them: digests are hexadecimal.
        let noise =
            "SELECT i, (SELECT string_agg(md5(i || '.' || j), '') FROM generate_series(1, 64) j) AS noise";
        let sql = format!(
            "CREATE TABLE picture (key text PRIMARY KEY, sha256 text);\nBEGIN;\n{rows}COMMIT;\n\
             CREATE TABLE event AS {noise} FROM generate_series(1, {megabytes} * 1024) i;\n\
             CREATE TABLE visit AS {noise} FROM generate_series(1, 100) i;\nALTER TABLE event ADD PRIMARY KEY (i)"
        );
        self.postgres.batch(&self.shop, &sql);
        let sql = format!(
            "CREATE TABLE letter (id int PRIMARY KEY, body mediumblob);\n\
             INSERT INTO letter SELECT seq, RANDOM_BYTES(1024) FROM seq_1_to_{};\n\
             CREATE TABLE answer (id int PRIMARY KEY, letter int, FOREIGN KEY (letter) REFERENCES letter (id));\n\
             INSERT INTO answer SELECT seq, seq FROM seq_1_to_1000",
            megabytes * 1024
        );
        self.mysql.batch(&self.crm, &sql);
        let script = "for i = 1, ARGV[1] do local t = {} for j = 1, 51 do t[j] = redis.sha1hex(i .. '.' .. j) end \
                      redis.call('SET', 'session:' .. i, table.concat(t)) end";
        self.redis.run(0, redis::cmd("EVAL").arg(script).arg(0).arg(megabytes * 1024));
    }

    /// What each of them holds.
    fn state(&self) -> [String; 4] {
        let sums =
            "SELECT (SELECT concat(count(*), md5(string_agg(md5(e::text), '' ORDER BY i))) FROM event e)
            || (SELECT concat(count(*), md5(string_agg(md5(p::text), '' ORDER BY key))) FROM picture p)
            || (SELECT count(*) FROM visit)";
        let sum = self.mysql.rows(&self.crm, "CHECKSUM TABLE letter, answer");
        let script = "local keys, sum = redis.call('KEYS', '*'), '' table.sort(keys) \
                      for _, key in ipairs(keys) do sum = redis.sha1hex(sum .. key .. redis.call('GET', key)) end return #keys .. ' ' .. sum";
        let objects = self.media.list("").into_iter();
        let objects: Vec<_> = objects.map(|object| (object.key, object.size, object.etag)).collect();
        [
            self.postgres.value(&self.shop, sums),
            format!("{:?}", sum.iter().map(|row| &row[1]).collect::<Vec<_>>()),
            self.redis.ask(0, redis::cmd("EVAL").arg(script).arg(0)),
            format!("{objects:?}"),
        ]
    }

    /// A bad release.
    fn break_it(&self) {
        self.postgres.batch(
            &self.shop,
            "TRUNCATE event; DELETE FROM picture; DROP TABLE visit; CREATE TABLE visit (i int)",
        );
        self.mysql.batch(&self.crm, "DROP TABLE answer; DROP TABLE letter");
        self.mysql.batch(&self.crm, "CREATE TABLE letter (id int); CREATE TABLE answer (id int)");
        self.redis.run(0, &redis::cmd("FLUSHALL"));
        let keys = self.media.keys("");
        for_each(keys.len() as u64, |at| self.media.delete(&keys[at as usize]));
        self.media.put("shop/extra.jpg", "new");
    }

    fn config(&self) -> String {
        format!(
            "version: 1\nname: shop\nstate: small/state\narchive: {{ to: {{ {archives} }} }}\nset:\n  \
             - name: db\n    driver: postgres\n    url: '{db}'\n    references:\n      \
             - {{ to: media, keys: 'SELECT key, sha256 FROM picture' }}\n  \
             - {{ name: crm, driver: mysql, url: '{crm}' }}\n  \
             - {{ name: sessions, driver: redis, url: '{sessions}' }}\n  \
             - {{ name: media, driver: media, {media} }}\n",
            archives = options(self.store, &self.archives),
            db = self.postgres.socket_url(&self.shop),
            crm = self.mysql.socket_url(&self.crm),
            sessions = self.redis.url(0),
            media = options(self.store, &self.media),
        )
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.postgres.drop_database(&self.shop);
        self.mysql.drop_database(&self.crm);
    }
}

/// `DUMPRESTORE_STACK` is how many megabytes of noise each of the four holds.
#[test]
fn a_stack_goes_into_a_bucket_and_back_by_way_of_ten_megabytes_of_disk() {
    let megabytes = asked("DUMPRESTORE_STACK", 12);
    assert!(megabytes * MB > DISK);
    let stack = Stack::new();
    stack.fill(megabytes);
    let site = Site::new();
    site.write("dumprestore.yaml", &stack.config());
    let before = stack.state();
    let dump = site.run_on_small_disk(DISK, &["dump"]);
    let archived: u64 = stack.archives.list("").iter().map(|object| object.size).sum();
    assert!(archived > 4 * megabytes * MB, "{archived}");
    stack.break_it();
    assert!(stack.state().iter().zip(&before).all(|(now, then)| now != then));
    let restore = site.run_on_small_disk(DISK, &["restore", "latest", "--yes"]);
    for ((now, then), what) in stack.state().iter().zip(&before).zip(["postgres", "mysql", "redis", "media"])
    {
        assert!(now == then, "{what} is not what it was");
    }
    println!(
        "an archive of {} MB; at the peak, a dump {} MB, a restore {} MB",
        archived >> 20,
        dump.peak_mb,
        restore.peak_mb
    );
}
