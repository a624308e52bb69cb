"""仿真数据: simulated data and the demonstration city. The only importer of SDV and Faker."""
