-- What servers have since version 16.
CREATE TABLE kinds.default_storage (a text STORAGE plain, b text STORAGE default);
CREATE SUBSCRIPTION parallel CONNECTION 'host=nowhere' PUBLICATION p
    WITH (connect = false, slot_name = NONE, origin = none, password_required = false, run_as_owner = true, streaming = parallel);
