//! The same connection, for another program that uses libpq.

use super::target::{Place, Target};

/// Parameters that are passed on as they were given, and their variables. A libpq that does not know one passes it over.
const AS_GIVEN: [(&str, &str); 12] = [
    ("PGSSLMODE", "sslmode"),
    ("PGSSLNEGOTIATION", "sslnegotiation"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGSSLCERT", "sslcert"),
    ("PGSSLKEY", "sslkey"),
    ("PGSSLSNI", "sslsni"),
    ("PGSSLMINPROTOCOLVERSION", "ssl_min_protocol_version"),
    ("PGSSLMAXPROTOCOLVERSION", "ssl_max_protocol_version"),
    ("PGCHANNELBINDING", "channel_binding"),
    ("PGCONNECT_TIMEOUT", "connect_timeout"),
    ("PGOPTIONS", "options"),
    ("PGAPPNAME", "application_name"),
];

impl Target {
    /// Variables of the environment that lead libpq to the first server of this target. The password is among them:
    /// they are for a child's environment only.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let mut variables = vec![("PGUSER", self.user.clone()), ("PGDATABASE", self.database.clone())];
        if let Some(endpoint) = self.endpoints.first() {
            variables.push(("PGPORT", endpoint.port.to_string()));
            match &endpoint.place {
                Place::Socket(folder) => variables.push(("PGHOST", folder.to_string_lossy().into_owned())),
                Place::Tcp { host, address } => {
                    variables.push(("PGHOST", host.clone()));
                    variables.extend(address.map(|address| ("PGHOSTADDR", address.to_string())));
                }
            }
            if let Some(password) = self.password(endpoint) {
                variables.push(("PGPASSWORD", password.expose().to_owned()));
            }
        }
        for (variable, name) in AS_GIVEN {
            variables.extend(self.parameters.get(name).map(|value| (variable, value.to_owned())));
        }
        // Ours has been read; another program's look at it could only differ.
        variables.push(("PGPASSFILE", "/dev/null/.pgpass".to_owned()));
        variables.extend(self.home.as_ref().map(|home| ("HOME", home.display().to_string())));
        variables
    }
}
