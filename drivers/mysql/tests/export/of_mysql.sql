CREATE TABLE hidden (a int, b int INVISIBLE DEFAULT 3, c int DEFAULT (a + 1), d json, KEY ((a + 1)), KEY k (a) INVISIBLE,
    g point NOT NULL SRID 4326, SPATIAL KEY (g));
INSERT INTO hidden (a, b, d, g) VALUES (1, 2, '{"é": "a\\"b"}', ST_GeomFromText('POINT(1 2)', 4326));
