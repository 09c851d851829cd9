//! A cluster of Ceph: the keeper of its map, one disk that is memory, and the gateway that speaks S3.

use std::path::Path;

use super::super::Programs;
use super::{ACCESS_KEY, SECRET_KEY};
use crate::free_port;

/// What the shell does with the folder of programs, its own folder, and the keys. All of it ends where one of them does:
/// a server that is only half there would be waited for.
const START: &str = r#"
echo "this is process $$"
programs=$0 folder=$1 access_key=$2 secret_key=$3
cd "$folder/data" || exit 1
rm -rf map disk gateway && mkdir disk gateway || exit 1
export CEPH_CONF=$folder/ceph.conf
trap 'kill -s TERM $(jobs -p) 2>/dev/null; wait; exit' TERM
"$programs/monmaptool" --create --clobber --fsid "$(cat "$folder/fsid")" --enable-all-features \
  --addv a "$(cat "$folder/map-address")" monmap || exit 1
"$programs/osdmaptool" osdmap --createsimple 1 --clobber || exit 1
"$programs/ceph-osd" --no-mon-config --mkfs -i 0 --osd-uuid "$(cat "$folder/fsid")" &
"$programs/ceph-mon" --mkfs -i a --monmap monmap --osdmap osdmap || exit 1
wait
"$programs/ceph-mon" -f -i a &
"$programs/ceph-osd" -f -i 0 &
(
  "$programs/radosgw-admin" -n client.admin user create --uid tests --display-name tests \
    --access-key "$access_key" --secret-key "$secret_key" >user || exit 1
  exec "$programs/radosgw" -f -n client.admin
) &
wait -n
echo "one of them has ended"
kill -s KILL $(jobs -p) 2>/dev/null
"#;

/// What it says once it listens.
pub(super) const READY: &str = "starting handler: beast";

/// As it stands everywhere, and says nothing.
const ID: &str = "6a1e0d7e-58c4-4f3a-9f6f-0f1f2f3f4f5f";

pub(super) fn programs() -> Programs {
    Programs::find("ceph-20", "radosgw", &[])
}

/// What starts it, for a server that lives in `folder`.
pub(super) fn command(folder: &Path) -> Vec<String> {
    let programs = programs().path("radosgw").expect("it was found");
    let programs = programs.parent().expect("a folder of programs");
    let paths = [programs, folder].map(|path| path.display().to_string());
    let keys = [ACCESS_KEY, SECRET_KEY].map(str::to_owned);
    ["bash", "-c", START].map(str::to_owned).into_iter().chain(paths).chain(keys).collect()
}

/// Takes ports: one for the gateway, which is given, and one for the map. The disk finds its own.
pub(super) fn choose_port(folder: &Path) -> u16 {
    let (port, map_port) = (free_port(), free_port());
    let programs = programs().path("radosgw").expect("it was found");
    let libraries = programs.ancestors().nth(2).expect("a folder above").join("lib");
    let text = SETTINGS
        .replace("{port}", &port.to_string())
        .replace("{map_port}", &map_port.to_string())
        .replace("{id}", ID)
        .replace("{data}", &folder.join("data").display().to_string())
        .replace("{libraries}", &libraries.display().to_string());
    for (name, content) in
        [("ceph.conf", text), ("fsid", ID.to_owned()), ("map-address", format!("[v2:127.0.0.1:{map_port}]"))]
    {
        std::fs::write(folder.join(name), content).expect("a file");
    }
    port
}

/// One disk is enough, nobody else is there to be kept out, and nothing is waited for. The gateway would want to be
/// proved who it is talking to unless it is told otherwise. Its own errands, such as deleting what has expired, come
/// too late for any test.
const SETTINGS: &str = "\
[global]
fsid = {id}
mon_host = [v2:127.0.0.1:{map_port}/0]
mon_initial_members = a
public_network = 127.0.0.1/32
cluster_network = 127.0.0.1/32
ms_bind_msgr1 = false
ms_mon_client_mode = crc secure
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
admin_socket =
run_dir = {data}
crash_dir = {data}
log_file =
mon_cluster_log_file = {data}/cluster.log
log_to_stderr = true
mon_data = {data}/map
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_data_avail_warn = 1
mon_data_avail_crit = 1
mon_tick_interval = 1
paxos_propose_interval = 0.02
paxos_min_wait = 0.01
osd_data = {data}/disk
osd_objectstore = memstore
memstore_device_bytes = 24G
osd_class_dir = {libraries}/rados-classes
erasure_code_dir = {libraries}/ceph/erasure-code
plugin_dir = {libraries}/ceph
osd_crush_chooseleaf_type = 0
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pgp_num = 1
osd_pool_default_pg_autoscale_mode = off
rgw_data = {data}/gateway
rgw_frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw_thread_pool_size = 64
rgw_dynamic_resharding = false
rgw_enable_ops_log = false
";
