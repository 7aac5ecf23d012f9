// The page: reads its address and starts what answers it.
