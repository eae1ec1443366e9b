-- The small shop of the README: two days of orders and their invoices, for SQLite, DuckDB and PostgreSQL.
-- On 2026-11-20 one amount is negative, one customer is missing, org 3 is silent, and org 2 lost two invoices.

CREATE TABLE orders (
    order_id integer, org_id integer, customer_id integer, amount numeric(10, 2), status varchar(10),
    created_at timestamp, loaded_at timestamp
);
INSERT INTO orders VALUES
    (101, 1, 11, 20.00, 'paid', '2026-11-19 09:10:00', '2026-11-20 05:00:00'),
    (102, 1, 12, 35.50, 'paid', '2026-11-19 10:00:00', '2026-11-20 05:00:00'),
    (103, 2, 21, 12.00, 'open', '2026-11-19 11:30:00', '2026-11-20 05:00:00'),
    (104, 2, 22, 80.00, 'paid', '2026-11-19 12:00:00', '2026-11-20 05:00:00'),
    (105, 3, 31, 15.00, 'paid', '2026-11-19 18:00:00', '2026-11-20 05:00:00'),
    (201, 1, 11, 22.00, 'paid', '2026-11-20 08:00:00', '2026-11-21 05:00:00'),
    (202, 1, 12, -5.00, 'paid', '2026-11-20 08:30:00', '2026-11-21 05:00:00'),
    (203, 1, 13, 41.00, 'open', '2026-11-20 09:00:00', '2026-11-21 05:00:00'),
    (204, 1, 14, 18.50, 'paid', '2026-11-20 09:45:00', '2026-11-21 05:00:00'),
    (205, 2, 21, 60.00, 'paid', '2026-11-20 10:15:00', '2026-11-21 05:00:00'),
    (206, 2, NULL, 9.99, 'open', '2026-11-20 11:00:00', '2026-11-21 05:00:00'),
    (207, 2, 22, 77.00, 'paid', '2026-11-20 13:20:00', '2026-11-21 05:00:00'),
    (208, 2, 23, 31.00, 'paid', '2026-11-20 15:00:00', '2026-11-21 05:00:00');

CREATE TABLE invoices (order_id integer, org_id integer, amount numeric(10, 2), day date);
INSERT INTO invoices VALUES
    (101, 1, 20.00, '2026-11-19'), (102, 1, 35.50, '2026-11-19'), (103, 2, 12.00, '2026-11-19'),
    (104, 2, 80.00, '2026-11-19'), (105, 3, 15.00, '2026-11-19'),
    (201, 1, 22.00, '2026-11-20'), (202, 1, -5.00, '2026-11-20'), (203, 1, 41.00, '2026-11-20'),
    (204, 1, 18.50, '2026-11-20'), (205, 2, 60.00, '2026-11-20'), (207, 2, 77.00, '2026-11-20');

CREATE TABLE rejects (order_id integer, org_id integer, day date);
INSERT INTO rejects VALUES (206, 2, '2026-11-20');

CREATE TABLE price_list (
    item varchar(10), net numeric(10, 2), tax numeric(10, 2), gross numeric(10, 2), stock integer,
    valid_from date, valid_to date, payload varchar(40)
);
INSERT INTO price_list VALUES
    ('tea', 10.00, 0.70, 10.70, 40, '2026-01-01', '2026-06-01', '{"organic": true}'),
    ('tea', 11.00, 0.77, 11.77, 31, '2026-06-01', '2027-01-01', '{"organic": true}'),
    ('cup', 5.00, 0.95, 5.95, 12, '2026-01-01', '2026-08-01', NULL),
    ('cup', 6.00, 1.14, 7.14, 9, '2026-07-01', '2027-01-01', 'blue');
